"""MkDocs hook: pages that lie outside of `docs/` become part of the site.

These are the results, the cards of the public data sets, CONTRIBUTING and CHANGELOG. Links to them and from
them are written as they are in the repository, so that they also work there.
"""

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parent.parent
PAGES = ("CONTRIBUTING.md", "CHANGELOG.md", "results/**/*.md", "results/**/*.html", "data/**/README.md")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the pages under their path in the repository."""
    for pattern in PAGES:
        for path in sorted(ROOT.glob(pattern)):
            name = path.relative_to(ROOT).as_posix()
            files.append(File.generated(config, name, abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Links between `docs/` and the rest of the repository become links within the site."""
    if Path(page.file.abs_src_path or "").is_relative_to(config.docs_dir):
        return re.sub(r"\]\(\.\./(?=CONTRIBUTING|CHANGELOG|results/|data/)", "](", markdown)
    return re.sub(r"\]\(((?:\.\./)*)docs/", r"](\1", markdown)
