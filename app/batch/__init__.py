"""Whole folders: as fast as the machine allows, stopped and resumed at any moment."""
