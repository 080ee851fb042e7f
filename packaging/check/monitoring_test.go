package check

import (
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
)

const (
	dashboardFile = "../../etc/grafana/dittofs.json"
	alertsFile    = "../../etc/prometheus/dittofs.rules.yml"
)

// The dashboard and the alert rules ask only for series and labels that /metrics has.
func TestDashboardAndAlerts(t *testing.T) {
	dir := tree(t)
	write(t, dir+"/f", "0123456789")
	g := up(t, dir)
	if out, err := g.smbclient("ls"); err != nil { // SMB requests are counted from the first on
		t.Fatal(out)
	}
	all := g.scrape()
	for file, exprs := range map[string][]string{dashboardFile: dashboard(t), alertsFile: alerts(t)} {
		if len(exprs) < 10 {
			t.Errorf("%s: only %d expressions", file, len(exprs))
		}
		for _, e := range exprs {
			for _, why := range unknown(all, e) {
				t.Errorf("%s: %s: %s", file, e, why)
			}
		}
	}
	for _, bad := range []string{`dittofs_lock`, `dittofs_locks{door="nlm"}`, `dittofs_locks{protocol="nfs3"}`, `sum by (door) (dittofs_locks)`, `dittofs_locks_bucket`, `dittofs_lock_wait_seconds`} {
		if unknown(all, bad) == nil {
			t.Errorf("%s is taken for good", bad)
		}
	}
}

// dashboard is every expression of the dashboard; each panel has a title and some.
func dashboard(t *testing.T) (exprs []string) {
	b, err := os.ReadFile(dashboardFile)
	if err != nil {
		t.Fatal(err)
	}
	var d struct {
		Title, UID string
		Panels     []struct {
			ID          int
			Type, Title string
			Targets     []struct{ Expr, RefID string }
		}
	}
	if err := json.Unmarshal(b, &d); err != nil || d.Title == "" || d.UID == "" {
		t.Fatalf("%s: %v", dashboardFile, err)
	}
	ids := map[int]bool{}
	for _, p := range d.Panels {
		if p.Title == "" || ids[p.ID] || (p.Type == "row") != (len(p.Targets) == 0) {
			t.Errorf("%s: panel %+v", dashboardFile, p)
		}
		ids[p.ID] = true
		for _, x := range p.Targets {
			exprs = append(exprs, x.Expr)
		}
	}
	return exprs
}

// alerts is every expression of the alert rules, which stand one to a line; each alert has one and a summary.
func alerts(t *testing.T) (exprs []string) {
	b, err := os.ReadFile(alertsFile)
	if err != nil {
		t.Fatal(err)
	}
	names, summaries := 0, 0
	for line := range strings.Lines(string(b)) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "- alert: ") {
			names++
		}
		if strings.HasPrefix(line, "summary: ") {
			summaries++
		}
		if e, ok := strings.CutPrefix(line, "expr: "); ok {
			exprs = append(exprs, e)
		}
	}
	if names != len(exprs) || names != summaries {
		t.Errorf("%s: %d alerts, %d expressions, %d summaries", alertsFile, names, len(exprs), summaries)
	}
	return exprs
}

var (
	selector = regexp.MustCompile(`\b((?:dittofs|process|go)_[a-z0-9_]+)(?:\{([^}]*)\})?`)
	matcher  = regexp.MustCompile(`([a-z_]+)\s*(=~|!~|!=|=)\s*"([^"]*)"`)
	grouping = regexp.MustCompile(`\b(?:by|without|on|ignoring) \(([^)]*)\)`)
)

// added are the labels that Prometheus adds, and a histogram's.
var added = []string{"instance", "job", "le"}

// unknown says what of e is not in the scrape.
func unknown(all map[string]*dto.MetricFamily, e string) (why []string) {
	var labels []string // of all that e asks for
	for _, m := range selector.FindAllStringSubmatch(e, -1) {
		f := family(all, m[1])
		if f == nil {
			why = append(why, "no metric "+m[1])
			continue
		}
		values := map[string][]string{}
		for _, s := range f.Metric {
			for _, l := range s.Label {
				values[l.GetName()] = append(values[l.GetName()], l.GetValue())
				labels = append(labels, l.GetName())
			}
		}
		for _, l := range matcher.FindAllStringSubmatch(m[2], -1) {
			switch {
			case slices.Contains(added, l[1]):
			case values[l[1]] == nil:
				why = append(why, m[1]+" has no label "+l[1])
			case l[2] == "=" && !slices.Contains(values[l[1]], l[3]):
				why = append(why, m[1]+" is never "+l[0])
			}
		}
	}
	for _, m := range grouping.FindAllStringSubmatch(e, -1) {
		for _, l := range strings.Split(m[1], ",") {
			if l = strings.TrimSpace(l); !slices.Contains(added, l) && !slices.Contains(labels, l) {
				why = append(why, "no label "+l)
			}
		}
	}
	return why
}

// family finds what a series name belongs to: of a histogram there are only _bucket, _sum and _count.
func family(all map[string]*dto.MetricFamily, name string) *dto.MetricFamily {
	if f := all[name]; f != nil && f.GetType() != dto.MetricType_HISTOGRAM {
		return f
	}
	for _, suffix := range []string{"_bucket", "_sum", "_count"} {
		if base, ok := strings.CutSuffix(name, suffix); ok && all[base].GetType() == dto.MetricType_HISTOGRAM {
			return all[base]
		}
	}
	return nil
}
