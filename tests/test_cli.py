"""The command line ``mtt-lorem``; its commands are tested in `commands`."""

import pytest

from metatrain_lorem.cli import main


def test_help_names_all_commands(capsys):
    with pytest.raises(SystemExit) as end:
        main(["--help"])
    assert end.value.code == 0
    words = capsys.readouterr().out.split()
    assert {"info", "from-jax", "to-jax"} <= set(words)


@pytest.mark.parametrize("arguments", [[], ["unknown"]])
def test_a_command_is_required(arguments, capsys):
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == 2
    assert "command" in capsys.readouterr().err


def test_errors_have_no_traceback(capsys):
    with pytest.raises(SystemExit) as end:
        main(["info", "missing.pt", "missing.xyz"])
    assert end.value.code == 1
    assert capsys.readouterr().err.startswith("mtt-lorem: error: ")
