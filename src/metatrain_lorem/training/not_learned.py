"""What the options ask for and the data lack: told once, at the start."""

from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import ase.io
from metatrain.utils.data import TargetInfo


# Gradients of an energy, and the names of their labels in the options
LABELS = {"positions": ("forces",), "strain": ("stress", "virial")}
# A term of the loss that nobody asked for looks like this, see `expand_loss_config`. One
# that was asked for may look the same: metatrain expands the options before they are
# written or handed to a trainer, so that such a term can only be told, not refused.
DEFAULT_TERM = {"weight": 1.0, "reduction": "mean", "delta": 1.0}
# Larger files are not read again only to say which frames lack a label.
MAX_BYTES = 2 * 10**8


def what_is_not_learned(
    targets: Mapping[str, TargetInfo], loss: Mapping[str, Any], options: Mapping[str, Any]
) -> list[str]:
    """Gradients for which the loss has a term, but the data no labels.

    metatrain drops forces (or stress) altogether if a single frame lacks them.

    :param loss: hyper-parameter, with all terms
    :param options: of the run; may be empty, then files and keys are not named
    :return: each with key and frames
    :raises ValueError: if the term was asked for, and not only there by default
    """
    lines = []
    for name, info in targets.items():
        terms = loss.get(name, {}).get("gradients", {})
        for gradient, words in LABELS.items():
            term = terms.get(gradient)
            if term is None or gradient in info.gradients or term["weight"] == 0.0:
                continue
            sections = _sections(options, name)
            asked = [
                (word, section[word])
                for section in sections
                for word in words
                if isinstance(section.get(word), dict)
            ]
            text = f"{'/'.join(words)} of '{name}'"
            if asked:
                text = "; ".join(_describe(name, word, label) for word, label in asked)
            by_hand = _is_other(term, loss[name]["type"]) or (
                any(_is_other_label(word, label, sections) for word, label in asked)
                or (len(sections) > 0 and len(asked) == 0)
            )
            if by_hand:
                raise ValueError(
                    f"the loss has a term for what the data lack: {text}. Correct the key "
                    "or the data, or take the term out of `loss` and set "
                    f"`{words[0]}: off` for the target"
                )
            lines.append(text)
    return lines


def _sections(options: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    sets = options.get("training_set", [])
    sets = sets if isinstance(sets, list) else [sets]
    return [s["targets"][name] for s in sets if name in s.get("targets", {})]


def _is_other(term: Mapping[str, Any], kind: str) -> bool:
    """Whether a term is not what metatrain adds to each loss."""
    if term["type"] not in ("mse", kind):
        return True
    return any(value != DEFAULT_TERM.get(k) for k, value in term.items() if k != "type")


def _is_other_label(
    word: str, label: Mapping[str, Any], sections: list[dict[str, Any]]
) -> bool:
    files = [section.get("read_from") for section in sections]
    return label.get("key") != word or label.get("read_from") not in files


def _describe(target: str, word: str, label: Mapping[str, Any]) -> str:
    """For instance ``forces of 'energy' (key 'forces', missing in 1 of 4 frames ...)``."""
    key, source = str(label.get("key")), label.get("read_from")
    text = f"{word} of '{target}' (key '{key}'"
    frames = _read(source)
    if frames is None:
        return f"{text} in '{source}')"
    without = [i for i, atoms in enumerate(frames) if key not in _keys(atoms, word)]
    if len(without) == len(frames):
        names = _keys(frames[0], word) - {"numbers", "positions"}
        similar = get_close_matches(key, names, n=1)
        hint = f": is '{similar[0]}' meant?" if similar else ""
        return f"{text}, in no frame of '{source}'{hint})"
    if not without:
        return f"{text} in '{source}', of a shape or value that cannot be read)"
    numbers = ", ".join(map(str, without[:5])) + (" ..." if len(without) > 5 else "")
    return (
        f"{text}, missing in {len(without)} of {len(frames)} frames of '{source}': "
        f"{numbers} (from 0); all others are dropped with them)"
    )


def _read(source: Any) -> list[ase.Atoms] | None:
    path = Path(str(source))
    if not path.is_file() or path.stat().st_size > MAX_BYTES:
        return None
    try:
        return list(ase.io.iread(path, ":"))
    except Exception:  # whatever ASE makes of other formats; the message can do without
        return None


def _keys(atoms: ase.Atoms, word: str) -> set[str]:
    """Names of the labels of a frame, per atom for the forces."""
    stored = atoms.arrays if word == "forces" else atoms.info
    results = atoms.calc.results if atoms.calc is not None else {}
    return {str(key) for key in stored} | (set(results) & {"forces", "stress", "energy"})
