"""What mkdocs does not do by itself for the pages in docs, which GitHub shows too."""

import glob
import json
import os
import re

REPOSITORY = "https://github.com/openirsa/openirsa/blob/main/"


def on_config(config):
    """The navigation is that of docs/README.md: a heading for each table of pages."""
    nav, section = [{"Overview": "README.md"}], None
    with open(os.path.join(config["docs_dir"], "README.md"), encoding="utf-8") as f:
        for line in f:
            if line.startswith("## "):
                section = []
                nav.append({line[3:].strip(): section})
            elif line.startswith("|") and section is not None:
                section.extend(re.findall(r"\]\(([\w-]+\.md)\)", line.split("|")[1]))
    config["nav"] = nav + [{"On GitHub": REPOSITORY.removesuffix("/blob/main/")}]
    return config


def on_files(files, config):
    """Sources of pictures are not for readers."""
    for file in list(files):
        if file.src_path.endswith((".go", ".txt")):
            files.remove(file)
    return files


def on_page_markdown(markdown, page, config, files):
    """Links that leave docs lead to the repository, and a picture follows the reader's choice of light or dark."""
    markdown = re.sub(r"\]\(\.\./([^)]+)\)", lambda m: "](" + REPOSITORY + m[1] + ")", markdown)
    markdown = lists(markdown)
    return re.sub(
        r'<picture>\s*<source media="\(prefers-color-scheme: dark\)" srcset="([^"]+)">\s*<img src="([^"]+)"([^>]*)>\s*</picture>',
        r'<img src="\2#only-light"\3><img src="\1#only-dark"\3>',
        markdown,
    )


def lists(markdown):
    """What belongs to an item of a list is indented by two or three spaces for GitHub, and by four for mkdocs."""
    lines, fence, more = [], None, ""
    for line in markdown.split("\n"):
        text = line.lstrip(" ")
        if fence is None:
            indent = len(line) - len(text)
            more = " " * (4 - indent) if indent in (2, 3) else ""
            if text.startswith("```"):
                fence = text[: len(text) - len(text.lstrip("`"))]
        elif text.rstrip() == fence:
            fence = None
        lines.append(more + line if text else line)
    return "\n".join(lines)


def on_post_build(config):
    """Search without a web server: its index and its worker in a script."""
    site = config["site_dir"]
    with open(os.path.join(site, "search", "search_index.json"), encoding="utf-8") as f:
        index = json.load(f)
    (worker,) = glob.glob(os.path.join(site, "assets", "javascripts", "workers", "search.*.min.js"))
    with open(worker, encoding="utf-8") as f:
        source = f.read()
    with open(os.path.join(site, "search", "offline.js"), "w", encoding="utf-8") as f:
        f.write("var __search = {index: Promise.resolve(%s), worker: URL.createObjectURL(new Blob([%s]))}\n"
                % (json.dumps(index), json.dumps(source)))
