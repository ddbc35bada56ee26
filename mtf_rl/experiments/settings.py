"""Converts settings, which are frozen dataclasses, to JSON and back."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from mtf_rl.core.errors import ConfigError, MtfRlError
from mtf_rl.core.tasks import TaskSet
from mtf_rl.fusion import FusionConfig

if TYPE_CHECKING:
    from cattrs import Converter

__all__ = ["read_named_settings", "settings_from_json", "settings_laid_over", "settings_to_json"]

SettingsT = TypeVar("SettingsT")

_JSON_TYPES: tuple[tuple[type[Any], tuple[type[Any], ...]], ...] = (
    (bool, (bool,)),
    (int, (int,)),
    (float, (float, int)),
    (str, (str,)),
    (Path, (str,)),
)
"""Types of fields, and the JSON types that they accept: neither "false" as a bool, nor 3.9 as an
int."""


@dataclass(frozen=True)
class _NamedSettings:
    """A field whose type depends on the name in another field."""

    kind: type[Any]
    name_field: str
    settings_field: str
    type_of: Callable[[str], type[Any]]


_NAMED: list[_NamedSettings] = []


def read_named_settings(
    kind: type[Any], name_field: str, settings_field: str, type_of: Callable[[str], type[Any]]
) -> None:
    """Register a field of `kind` whose type depends on the name in another field.

    Args:
        kind: a dataclass with both fields.
        name_field: the field with the name.
        settings_field: the field with settings of the named type, or None.
        type_of: returns the type for a name.
    """
    _NAMED.append(_NamedSettings(kind, name_field, settings_field, type_of))
    _converter.cache_clear()


@lru_cache(maxsize=1)
def _converter() -> "Converter":
    # Imported here, because a command line without a settings file does not need it.
    import cattrs
    from cattrs.gen import make_dict_unstructure_fn, override

    converter = cattrs.Converter(forbid_extra_keys=True)
    converter.register_unstructure_hook(Path, str)
    converter.register_unstructure_hook(TaskSet, TaskSet.to_json)
    converter.register_structure_hook(TaskSet, lambda document, _: TaskSet.from_json(document))
    among: Any = {"among": override(omit_if_default=True)}  # KuaiRand's tasks are not written
    converter.register_unstructure_hook(
        FusionConfig, make_dict_unstructure_fn(FusionConfig, converter, **among)
    )
    for kind, accepted in _JSON_TYPES:
        converter.register_structure_hook(kind, _strictly(kind, accepted))
    for named in _NAMED:
        converter.register_structure_hook(named.kind, _by_name(named, converter))
    return converter


def _strictly(kind: type[Any], accepted: tuple[type[Any], ...]) -> Callable[[Any, Any], Any]:
    def structure(value: Any, _: Any) -> Any:
        if type(value) not in accepted:
            raise ConfigError(f"expected {kind.__name__.lower()}, got {value!r}")
        return kind(value)

    return structure


def _by_name(named: _NamedSettings, converter: "Converter") -> Callable[[Any, Any], Any]:
    from cattrs.gen import make_dict_structure_fn, override

    kind, field = named.kind, named.settings_field
    omitted: Any = {field: override(omit=True)}
    read_others = make_dict_structure_fn(kind, converter, _cattrs_forbid_extra_keys=True, **omitted)

    def structure(document: Any, _: Any) -> Any:
        if not isinstance(document, dict):
            raise ConfigError(f"{kind.__name__} must be a JSON object, got {document!r}")
        others = {name: value for name, value in document.items() if name != field}
        read = read_others(others, kind)
        own = document.get(field)
        if own is None:
            return read
        settings = settings_from_json(named.type_of(getattr(read, named.name_field)), own)
        return replace(read, **{field: settings})

    return structure


def settings_to_json(settings: Any) -> Any:
    """Convert settings to JSON values that `settings_from_json` reads back."""
    return _converter().unstructure(settings)


def settings_from_json(kind: type[SettingsT], document: Any) -> SettingsT:
    """Read settings of a dataclass type from JSON values; missing fields have their defaults.

    Raises:
        ConfigError: naming the field that is unknown or of the wrong type or range.
    """
    from cattrs.errors import ClassValidationError

    try:
        return _converter().structure(document, kind)
    except ClassValidationError as error:
        raise ConfigError(_first_message(error, kind.__name__)) from error


def settings_laid_over(base: SettingsT, document: Any) -> SettingsT:
    """Replace settings of `base`, at any depth, by those in a JSON document.

    Raises:
        ConfigError: if a setting is unknown or of the wrong type or range.
    """
    if not isinstance(document, dict):
        raise ConfigError(f"settings must be a JSON object, got {document!r}")
    if not document:
        return base
    return settings_from_json(type(base), _laid_over(settings_to_json(base), document))


def _laid_over(base: Any, document: Any) -> Any:
    if not (isinstance(base, dict) and isinstance(document, dict)):
        return document
    merged = dict(base)
    for name, value in document.items():
        merged[name] = _laid_over(base.get(name), value)
    return merged


def _first_message(error: BaseException, where: str) -> str:
    from cattrs.errors import ForbiddenExtraKeysError

    if isinstance(error, MtfRlError):
        return f"{where}: {error}"
    if isinstance(error, ForbiddenExtraKeysError):
        return f"{where} has no setting {', '.join(sorted(error.extra_fields))}"
    if isinstance(error, BaseExceptionGroup):
        inner = error.exceptions[0]
        note = "; ".join(str(n) for n in getattr(inner, "__notes__", [])[:1])
        return _first_message(inner, note.replace("Structuring class ", "") or where)
    return f"{where}: {error}"
