"""Write every generated page anew: `make docs`, or python -m docs.generate."""

from docs.generate.method_picture import draw
from docs.generate.pages import ROOT, current

if __name__ == "__main__":
    for path, text in current().items():
        changed = not path.is_file() or path.read_text(encoding="utf-8") != text
        path.write_text(text, encoding="utf-8")
        print(f"{'written' if changed else 'current'}: {path.relative_to(ROOT)}")
    draw().savefig(ROOT / "docs" / "method.png", dpi=130)
