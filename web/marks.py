"""Text by other people on its way into a page.

The service hands pages text in which every invisible or reordering code point is already drawn
as a mark such as ⟦U+202E⟧ (core/display.visible). Here the text is escaped for HTML and the
marks are set apart, so that a payload that merely spells out a mark looks the same as a real
one: it can frighten, it cannot deceive.

What holds: the result is markup whose only element is `<span class="mark">`; whatever the text
holds, it ends up as text.
"""

from markupsafe import Markup, escape

from approvals.core.display import marks


def marked(text: str) -> Markup:
    """`text` escaped, with each mark in a `<span class="mark">` of its own."""
    return Markup("").join(
        Markup('<span class="mark">{}</span>').format(part) if place % 2 else escape(part)
        for place, part in enumerate(marks.split(text))  # plain, mark, plain, mark, …, plain
    )
