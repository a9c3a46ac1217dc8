"""An invalid command line: the error names the option, the command or the file that was meant."""

from __future__ import annotations

import pytest

from tests.support.command import invoke


@pytest.mark.parametrize(
    ("line", "end"),
    [
        ("rn x", "No such command 'rn'. Did you mean 'run'?"),
        ("inspct x", "No such command 'inspct'. Did you mean 'inspect'?"),
        ("plan bild", "No such command 'bild'. Did you mean 'build'?"),
        ("request x", "No such command 'request'. Did you mean `tritonize plan request`?"),
        ("heart.pt", "No such command 'heart.pt'. To export and prove a model: tritonize run heart.pt"),
        ("golden verify x", "No such command 'verify'. Did you mean `tritonize verify`?"),
        ("serve --http-port x", "Invalid value for '--http-port': it must be a valid integer"),
        ("zzzz", "No such command 'zzzz'."),
        ("run m.pt --max_batch_size 2", "No such option: --max_batch_size. Did you mean --max-batch-size?"),
        ("list --trials 3", "No such option: --trials. It is an option of `tritonize locate`."),
        ("list --zzzz", "No such option: --zzzz."),
    ],
)
def test_the_text_names_what_was_meant(line, end):
    done = invoke(*line.split(), env={"COLUMNS": "200"})
    assert done.returncode == 2
    assert done.stderr.rstrip().endswith(end)
    assert "-h' for help." in done.stderr
