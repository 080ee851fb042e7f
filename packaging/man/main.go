// Man writes the manual pages: dittofs(8) from the command line's own description, each daemon's from the comment above its main.
//
// No locks.
package main

import (
	"flag"
	"fmt"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strings"
)

// sources are the programs and the files whose package comment is their manual.
var sources = map[string]string{
	"dittofs":         "gateway/admin/main.go",
	"dittofs-gateway": "gateway/main.go",
	"dittofs-fusefs":  "fusefs/main.go",
	"dittofs-lockd":   "lockd/main.go",
	"dittofs-statd":   "statd/main.go",
	"dittofs-smbd":    "smbd/main.go",
}

// required are the sections that a manual must have.
var required = []string{"NAME", "DESCRIPTION", "FILES", "SECURITY"}

func main() {
	out := flag.String("out", "dist/man", "directory to write to")
	flag.Parse()
	if err := os.MkdirAll(*out, 0o755); err != nil {
		fail(err)
	}
	for name, src := range sources {
		text, err := comment(src)
		if err != nil {
			fail(err)
		}
		page, err := roff(name, text)
		if err != nil {
			fail(fmt.Errorf("%s: %w", src, err))
		}
		if err := os.WriteFile(filepath.Join(*out, name+".8"), []byte(page), 0o644); err != nil {
			fail(err)
		}
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "man:", err)
	os.Exit(1)
}

// comment is the package comment of a Go file.
func comment(path string) (string, error) {
	f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments|parser.PackageClauseOnly)
	if err != nil {
		return "", err
	}
	return f.Doc.Text(), nil
}

// roff turns a comment whose sections begin with a line in capitals into a man(7) page.
func roff(name, text string) (string, error) {
	var b strings.Builder
	fmt.Fprintf(&b, ".TH %s 8 \"\" \"DittoFS Gateway\"\n", strings.ToUpper(name))
	seen := map[string]bool{}
	for line := range strings.SplitSeq(text, "\n") {
		trimmed := strings.TrimPrefix(strings.TrimSpace(line), "# ")
		switch {
		case trimmed == "No locks." || strings.HasPrefix(trimmed, "Lock order:"):
		case trimmed != "" && trimmed == strings.ToUpper(trimmed) && strings.IndexFunc(trimmed, func(r rune) bool { return r != ' ' && (r < 'A' || r > 'Z') }) < 0:
			seen[trimmed] = true
			fmt.Fprintf(&b, ".SH %s\n", trimmed)
		case len(seen) == 0: // the sentence before NAME
		case trimmed == "":
			b.WriteString(".PP\n")
		case strings.HasPrefix(line, "\t") && seen["SYNOPSIS"] || strings.HasPrefix(line, "\t") && strings.Contains(trimmed, "  "):
			fmt.Fprintf(&b, ".nf\n%s\n.fi\n", escape(trimmed))
		default:
			fmt.Fprintln(&b, escape(trimmed))
		}
	}
	for _, s := range required {
		if !seen[s] {
			return "", fmt.Errorf("the manual has no section %s", s)
		}
	}
	return b.String(), nil
}

func escape(s string) string {
	s = strings.ReplaceAll(s, `\`, `\e`)
	s = strings.ReplaceAll(s, "-", `\-`)
	if strings.HasPrefix(s, ".") || strings.HasPrefix(s, "'") {
		s = `\&` + s
	}
	return s
}
