"""Clean the files of a folder: python examples/clean_folder.py FOLDER OUTPUT."""

import sys
from pathlib import Path

from resonance import DenoiserModel, Pipeline, UserError
from resonance.app.files import denoise_file

folder, output = map(Path, sys.argv[1:])
output.mkdir(exist_ok=True)
model = DenoiserModel.preset("studio")  # loaded once, used for every file


def make_pipeline(samplerate: int, channels: int) -> Pipeline:
    return Pipeline(samplerate, channels, denoiser=model)


for source in sorted(folder.iterdir()):
    try:
        result = denoise_file(source, output / source.name, make_pipeline)
    except UserError as error:  # the sentence names the file and what is wrong with it
        print(error, file=sys.stderr)
    else:
        print(f"{source.name}: {result.seconds:.1f} s, {1 / result.real_time_factor:.0f} × faster")
