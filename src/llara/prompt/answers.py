"""Reading a generated answer: which candidate does it name?"""

from collections.abc import Sequence


def normalize_answer(text: str) -> str:
    """Case and white space do not distinguish answers."""
    return " ".join(text.casefold().split())


def named_candidate(answer: str, candidate_texts: Sequence[str]) -> int | None:
    """Column of the one candidate that the answer names, or None if it names none or several.

    The whole answer must equal the candidate's text, so "Aliens" never names "Alien", and two candidates of the same
    title are both unnamed. Deviation from the released LLaRA code, which searches for substrings.

    Args:
        answer: Generated text without the end token; only its first non-empty line counts.
        candidate_texts: Text of each candidate, in prompt order.
    """
    wanted = normalize_answer(answer.strip().split("\n", 1)[0])
    if not wanted:
        return None
    columns = [column for column, text in enumerate(candidate_texts) if normalize_answer(text) == wanted]
    return columns[0] if len(columns) == 1 else None
