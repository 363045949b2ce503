#!/bin/bash
# once: a browser reads what the release wrote
# The page of `lacuna compare` in a browser: it parses to a table with a row for every scheme and to
# charts, and the browser has nothing to say against it.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
lacuna=${LACUNA:-$root/build/lacuna}
fail() { echo "FAIL: $*" >&2; exit 1; }
browser=$(command -v chromium || command -v chromium-browser || true)
[ -n "$browser" ] || { echo "SKIP: chromium is missing: the page was NOT read by a browser" >&2; exit 77; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
page=$work/page.html
"$lacuna" compare glyph_mlp --images 64 --runs 1 --agree 0 -o "$page" --json >"$work/result.json"
# The console of the page goes to stderr, among much else, as lines with CONSOLE.
HOME=$work timeout 300 "$browser" --headless --no-sandbox --disable-gpu --disable-dev-shm-usage \
    --user-data-dir="$work/profile" --enable-logging=stderr --v=0 --dump-dom "file://$page" \
    >"$work/dom.html" 2>"$work/log" || { tail -20 "$work/log"; fail "$browser does not open the page"; }
! grep CONSOLE "$work/log" || fail "the browser complains about the page"
python3 - "$work/dom.html" "$work/result.json" <<'END'
import html.parser, json, sys

class Dom(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.count, self.inside, self.text, self.cells = {}, [], [], []
    def handle_starttag(self, tag, attributes):
        self.count[tag] = self.count.get(tag, 0) + 1
        if tag in ("td", "th"):
            self.cells.append("")
            self.inside.append(tag)
    def handle_endtag(self, tag):
        if tag in ("td", "th") and self.inside:
            self.inside.pop()
    def handle_data(self, data):
        if self.inside:
            self.cells[-1] += data

dom = Dom()
dom.feed(open(sys.argv[1]).read())
rows = json.load(open(sys.argv[2]))["models"][0]["rows"]
missing = [row["scheme"] for row in rows
           if not any(row["scheme"] in cell for cell in dom.cells)]
print({tag: dom.count.get(tag, 0) for tag in ("table", "tr", "svg", "rect", "circle", "script")})
assert dom.count.get("table", 0) >= 1 and dom.count.get("tr", 0) > len(rows), dom.count
assert rows and not missing, missing
assert dom.count.get("svg", 0) >= 2, dom.count
END
echo "page.html: read by $browser"
