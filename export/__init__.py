"""From torch to the ONNX files the application runs, with proof that they say the same."""
