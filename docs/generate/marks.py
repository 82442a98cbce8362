"""Text between two comments of a Markdown file: `<!-- name:start -->` and `<!-- name:end -->`."""


def filled(page: str, mark: str, content: str) -> str:
    """The page with the content between the two comments of that mark.

    Raises:
        ValueError: If the comments are not there, once each and in this order.
    """
    start, end = f"<!-- {mark}:start -->", f"<!-- {mark}:end -->"
    if page.count(start) != 1 or page.count(end) != 1 or page.index(start) > page.index(end):
        raise ValueError(f"expected one place for '{mark}', from {start} to {end}; found none or several. Add it.")
    before, _, rest = page.partition(start)
    return f"{before}{start}\n\n{content.strip()}\n\n{end}{rest.partition(end)[2]}"


def table(titles: list[str], rows: list[list[str]], *, left: int = 1) -> str:
    """A Markdown table whose first `left` columns are text, the others numbers."""
    rule = ["---" if column < left else "---:" for column in range(len(titles))]
    lines = [f"| {' | '.join(titles)} |", f"|{'|'.join(rule)}|"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])
