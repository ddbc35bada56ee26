"""Settings as JSON: frozen dataclasses out and back in, equal."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import cattrs
from cattrs.errors import ClassValidationError, ForbiddenExtraKeysError
from cattrs.gen import make_dict_structure_fn, override

from mtf_rl.core.errors import ConfigError, MtfRlError

__all__ = ["read_named_settings", "settings_from_json", "settings_laid_over", "settings_to_json"]

SettingsT = TypeVar("SettingsT")

_CONVERTER = cattrs.Converter(forbid_extra_keys=True)
_CONVERTER.register_unstructure_hook(Path, str)


def _strict(kind: type[Any], *accepted: type[Any]) -> None:
    """Take a JSON value of the right type only: no "false" that is true, no 3.9 that is 3."""

    def structure(value: Any, _: Any) -> Any:
        if type(value) not in accepted:
            raise ConfigError(f"expected {kind.__name__.lower()}, got {value!r}")
        return kind(value)

    _CONVERTER.register_structure_hook(kind, structure)


_strict(bool, bool)
_strict(int, int)
_strict(float, float, int)
_strict(str, str)
_strict(Path, str)


def read_named_settings(
    kind: type[Any], name_field: str, settings_field: str, type_of: Callable[[str], type[Any]]
) -> None:
    """Let JSON of `kind` hold settings whose type another of its fields names.

    Args:
        kind: a dataclass with both fields.
        name_field: the field that holds the name.
        settings_field: the field that holds settings of the type that the name stands for, or None.
        type_of: gives the type of a name.
    """
    left_out: Any = {settings_field: override(omit=True)}
    read_others = make_dict_structure_fn(
        kind, _CONVERTER, _cattrs_forbid_extra_keys=True, **left_out
    )

    def structure(document: Any, _: Any) -> Any:
        if not isinstance(document, dict):
            raise ConfigError(f"{kind.__name__} must be a JSON object, got {document!r}")
        others = {name: value for name, value in document.items() if name != settings_field}
        read = read_others(others, kind)
        own = document.get(settings_field)
        if own is None:
            return read
        settings = settings_from_json(type_of(getattr(read, name_field)), own)
        return replace(read, **{settings_field: settings})

    _CONVERTER.register_structure_hook(kind, structure)


def settings_to_json(settings: Any) -> Any:
    """Dictionaries, lists, strings and numbers that `settings_from_json` reads back."""
    return _CONVERTER.unstructure(settings)


def settings_from_json(kind: type[SettingsT], document: Any) -> SettingsT:
    """Settings of a dataclass type; fields that the document leaves out keep their default.

    Raises:
        ConfigError: naming the field that is unknown or of the wrong type or range.
    """
    try:
        return _CONVERTER.structure(document, kind)
    except ClassValidationError as error:
        raise ConfigError(_first_complaint(error, kind.__name__)) from error


def settings_laid_over(base: SettingsT, document: Any) -> SettingsT:
    """`base`, but with the settings that a JSON document names, however deep.

    Raises:
        ConfigError: if a setting is unknown or of the wrong type or range.
    """
    if not isinstance(document, dict):
        raise ConfigError(f"settings must be a JSON object, got {document!r}")
    return settings_from_json(type(base), _laid_over(settings_to_json(base), document))


def _laid_over(base: Any, document: Any) -> Any:
    if not (isinstance(base, dict) and isinstance(document, dict)):
        return document
    merged = dict(base)
    for name, value in document.items():
        merged[name] = _laid_over(base.get(name), value)
    return merged


def _first_complaint(error: BaseException, where: str) -> str:
    if isinstance(error, MtfRlError):
        return f"{where}: {error}"
    if isinstance(error, ForbiddenExtraKeysError):
        return f"{where} has no setting {', '.join(sorted(error.extra_fields))}"
    if isinstance(error, BaseExceptionGroup):
        inner = error.exceptions[0]
        note = "; ".join(str(n) for n in getattr(inner, "__notes__", [])[:1])
        return _first_complaint(inner, note.replace("Structuring class ", "") or where)
    return f"{where}: {error}"
