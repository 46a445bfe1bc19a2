"""From templates to pages: escaping, embedding of data, and the policy that pages run under.

A page runs the scripts that this package ships and nothing else (Content-Security-Policy), and
fetches nothing. Text enters markup through jinja2's autoescape, data through `json_block`, and
episodes through `packed`, whose alphabet has no markup in it.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
import zlib
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, cast

import jinja2
from markupsafe import Markup
from pydantic import TypeAdapter

from spa_bench.results.shown import counted, whole_percent
from spa_bench.site.trace import Trace

_HERE = Path(__file__).parent
_ESCAPES = {ord(c): f"\\u{ord(c):04x}" for c in "<>&\u2028\u2029"}


def json_block(value: Any) -> Markup:
    """Returns JSON that is safe inside `<script type="application/json">`.

    Args:
        value: plain data; NaN becomes null.
    """
    text = json.dumps(_finite(value), ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return Markup(text.translate(_ESCAPES))


def packed(traces: Sequence[Trace]) -> str:
    """Returns episodes as the pages read them: JSON, zlib, base64."""
    content = _TRACES.dump_json(list(traces), exclude_none=True)
    return base64.b64encode(zlib.compress(content, 9)).decode("ascii")


def unpacked(text: str) -> Any:
    """Returns what `packed` packed, as plain data."""
    return json.loads(zlib.decompress(base64.b64decode(text)))


@cache
def static(name: str) -> str:
    """Returns the text of a file that pages are made of."""
    return (_HERE / "static" / name).read_text(encoding="utf-8")


def alone(script: str, style: str) -> str:
    """Returns the policy of a page that holds all it needs: this script and this style only."""
    return (
        f"default-src 'none'; script-src '{_hash(script)}'; style-src '{_hash(style)}';"
        " img-src data:; base-uri 'none'; form-action 'none'"
    )


SITE_POLICY = (
    "default-src 'none'; script-src 'self' file:; style-src 'self' file:; img-src 'self' data:;"
    " base-uri 'none'; form-action 'none'"
)
"""The policy of a page of the site: files beside it only, also where it is opened from a disk."""


def render(template: str, **values: Any) -> str:
    """Returns a page."""
    return _templates().get_template(template).render(**values)


@cache
def _templates() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["json_block"] = json_block  # pyright: ignore[reportArgumentType]
    environment.globals["inline"] = _inline  # pyright: ignore[reportArgumentType]
    environment.globals["counted"] = counted  # pyright: ignore[reportArgumentType]
    environment.filters.update(
        percent=percent, whole_percent=whole_percent, number=number, short=short
    )
    return environment


def percent(value: float | None, digits: int = 1) -> str:
    """Returns a share in percent, such as `37.5`; a dash where there is none."""
    return "–" if value is None or value != value else f"{100 * value:.{digits}f}"


def number(value: float | None, digits: int = 2) -> str:
    """Returns a number with so many decimals; a dash where there is none."""
    return "–" if value is None or value != value else f"{value:,.{digits}f}"


def short(value: float) -> str:
    """Returns a count in a few characters, such as `135 M`."""
    for unit, name in ((1e12, "T"), (1e9, "B"), (1e6, "M")):
        if value >= unit:
            return f"{value / unit:.3g} {name}"
    return f"{value:,.0f}"


def _inline(*names: str) -> Markup:
    """Returns our own script or style for use inside a page."""
    return Markup(joined(*names))


def joined(*names: str) -> str:
    """Returns files of this package one after another."""
    return "\n".join(map(static, names))


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode("utf-8")).digest()
    return f"sha256-{base64.b64encode(digest).decode('ascii')}"


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in cast(dict[str, Any], value).items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in cast(list[Any], value)]
    return value


_TRACES = TypeAdapter(list[Trace])
