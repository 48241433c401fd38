"""Measures which code points Chromium draws as nothing: writes tests/core/drawn_as_nothing.json.

    python -m tests.core.measure_unseen NAME

NAME says which fonts are installed (`dejavu`); point `FONTCONFIG_FILE` at others to measure with
them. Each code point is drawn twice and compared by its pixels: by itself, where it is *blank* if
no pixel has ink, and between two letters, where it is *nothing* if the letters look as they do side
by side. Measured is every code point that the browser's Unicode gives a character. The others
(unassigned, private use, lone surrogates) are unseen by their category, whatever a font draws.

What a run finds replaces what an earlier run of the same name found. tests.core.make_unseen_table
makes the table of approvals/core from it.
"""

from __future__ import annotations

import base64
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.web.browser import chromium

if TYPE_CHECKING:
    from collections.abc import Iterable

    from playwright.sync_api import Page

FILE = Path(__file__).parent / "drawn_as_nothing.json"
COLUMNS, ROWS = 64, 64
WIDTH, HEIGHT = 44, 28

PAGE = f"""<!doctype html><meta charset="utf-8"><style>
body {{ margin: 0; background: #fff; color: #000; font: 16px/28px sans-serif }}
div {{ display: grid; grid-template-columns: repeat({COLUMNS}, {WIDTH}px); width: max-content }}
i {{ font-style: normal; width: {WIDTH}px; height: {HEIGHT}px; overflow: hidden; white-space: pre;
     padding-left: 10px; box-sizing: border-box; contain: strict }}
</style><div></div>"""

# textContent is the way that text takes into our pages: nothing in it is markup.
FILL = """texts => {
  const grid = document.querySelector('div');
  grid.replaceChildren(...texts.map(text => {
    const cell = document.createElement('i');
    cell.textContent = text;
    return cell;
  }));
}"""

COMPARE = f"""async ([png, count]) => {{
  const bytes = Uint8Array.from(atob(png), c => c.charCodeAt(0));
  const image = await createImageBitmap(new Blob([bytes], {{ type: 'image/png' }}));
  const canvas = new OffscreenCanvas(image.width, image.height);
  const context = canvas.getContext('2d', {{ willReadFrequently: true }});
  context.drawImage(image, 0, 0);
  const cells = [];
  for (let at = 0; at < count; at++) {{
    const x = at % {COLUMNS} * {WIDTH}, y = Math.floor(at / {COLUMNS}) * {HEIGHT};
    const data = new Uint32Array(
      context.getImageData(x, y, {WIDTH}, {HEIGHT}).data.buffer);
    let hash = 17;
    for (const pixel of data) hash = Math.imul(hash, 31) + pixel | 0;
    cells.push(hash);
  }}
  return cells;
}}"""


def drawn(page: Page, texts: list[str]) -> list[int]:
    """A number for the picture of each text; equal pictures have equal numbers."""
    page.evaluate(FILL, texts)
    height = -(-len(texts) // COLUMNS) * HEIGHT
    png = page.screenshot(
        clip={"x": 0, "y": 0, "width": COLUMNS * WIDTH, "height": height}, full_page=True
    )
    found: list[int] = page.evaluate(COMPARE, [base64.b64encode(png).decode(), len(texts)])
    return found


def measure(page: Page, code_points: Iterable[int]) -> tuple[list[int], list[int]]:
    """The code points that are drawn as nothing between letters, and those blank by themselves."""
    page.set_content(PAGE)
    empty, side_by_side = drawn(page, ["", "HH"])
    wanted = list(code_points)
    nothing: list[int] = []
    blank: list[int] = []
    size = COLUMNS * ROWS // 2
    for start in range(0, len(wanted), size):
        chunk = wanted[start : start + size]
        pictures = drawn(page, [text for c in chunk for text in (chr(c), f"H{chr(c)}H")])
        for place, code_point in enumerate(chunk):
            if pictures[2 * place] == empty:
                blank.append(code_point)
            if pictures[2 * place + 1] == side_by_side:
                nothing.append(code_point)
    return nothing, blank


def having(page: Page, unicode_property: str) -> list[int]:
    """The code points that match a property of regular expressions (ECMA-262), by the browser."""
    found: list[int] = page.evaluate(
        r"""expression => {
          const pattern = new RegExp(expression, 'u');
          const found = [];
          for (let c = 0; c < 0x110000; c++)
            if ((c < 0xD800 || c > 0xDFFF) && pattern.test(String.fromCodePoint(c))) found.push(c);
          return found;
        }""",
        unicode_property,
    )
    return found


def ranges(code_points: Iterable[int]) -> list[str]:
    """Sorted code points as `0300` and `0300..036F`."""
    found: list[list[int]] = []
    for each in sorted(code_points):
        if found and found[-1][1] == each - 1:
            found[-1][1] = each
        else:
            found.append([each, each])
    return [
        f"{first:04X}" if first == last else f"{first:04X}..{last:04X}" for first, last in found
    ]


def main(name: str) -> None:
    """Measure with the fonts that are there."""
    with chromium() as browser:
        page = browser.new_page(viewport={"width": COLUMNS * WIDTH, "height": ROWS * HEIGHT})
        nothing, blank = measure(page, having(page, r"^[^\p{Cn}\p{Co}\p{Cs}]$"))
        result: dict[str, Any] = json.loads(FILE.read_text("utf-8")) if FILE.exists() else {}
        result["default_ignorable"] = ranges(having(page, r"^\p{Default_Ignorable_Code_Point}$"))
        result.setdefault("measured", {})[name] = {
            "browser": f"Chromium {browser.version}",
            "nothing": ranges(nothing),
            "blank": ranges(blank),
        }
    FILE.write_text(json.dumps(result, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
