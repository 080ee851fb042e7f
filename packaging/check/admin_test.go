package check

import (
	"bufio"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

const fileClosed = "c0000128"

// into runs the admin command and reads its JSON.
func (g *gateway) into(v any, args ...string) {
	g.t.Helper()
	if err := json.Unmarshal([]byte(g.dittofs(args...)), v); err != nil {
		g.t.Fatalf("dittofs %v: %v", args, err)
	}
}

// refusedBy runs the admin command, which must fail, and returns what it says.
func (g *gateway) refusedBy(args ...string) string {
	g.t.Helper()
	out, err := exec.Command(filepath.Join(bin, "dittofs"), append([]string{"--state", g.State}, args...)...).CombinedOutput()
	if err == nil {
		g.t.Errorf("dittofs %v went through:\n%s", args, out)
	}
	return string(out)
}

// whole is an entry of `dittofs lock list --json` with what the admin commands need.
type whole struct {
	ID, Path, Kind, Protocol, Owner, User, Mode, State string
	For                                                []string `json:"waits_for"`
}

// explained is `dittofs lock why --json`.
type explained struct {
	Files []struct {
		Path    string
		Held    []whole
		Waiters []struct {
			whole
			Blockers []struct {
				Owner string
				Holds []whole
			}
		}
	}
	Refused []struct{ Path, Protocol, Owner, User, Asked, Reason, Holder, Held string }
}

// An SMB client waits for an NFS client's lock: waiters and why name both, a dry run changes nothing, and the break gives the waiter its
// lock and leaves a line in the log.
func TestBreakLock(t *testing.T) {
	dir := tree(t)
	write(t, filepath.Join(dir, "f"), "0123456789")
	g := up(t, dir)
	fh := g.nfs(t, 0).must("f")
	n := g.nlm(t, "client-a", 7)
	if st := n.lock(fh, 0, 10, false, false); st != nlmGranted {
		t.Fatalf("NLM LOCK: %d", st)
	}
	s := g.smb(t)
	fid := s.do("open", args{"name": "f", "access": readWrite, "share": 7, "disposition": 1}).FID
	exclusive := func(flags int) args {
		return args{"fid": fid, "offset": 0, "length": 10, "flags": smbLockExclusive | flags}
	}
	for range 2 {
		if st := s.do("lock", exclusive(smbLockNow)).Status; st != lockNotGranted {
			t.Fatalf("SMB LOCK beside the NFS client's: %s", st)
		}
	}
	lock := exclusive(0)
	lock["wait"] = false
	waiting := s.do("lock", lock)
	if !waiting.Pending {
		t.Fatalf("SMB LOCK that waits: %+v", waiting)
	}
	const holder = "nlm:client-a:7:3740636c69656e742d61"

	var ws []whole
	g.into(&ws, "lock", "waiters", "--json")
	if len(ws) != 1 || ws[0].Protocol != "smb" || ws[0].Mode != "lock 0-9 exclusive" || ws[0].User != smbUser || !slices.Equal(ws[0].For, []string{holder}) {
		t.Errorf("lock waiters: %+v", ws)
	}
	for _, path := range []string{"f", filepath.Join(dir, "f")} {
		var why explained
		g.into(&why, "lock", "why", path, "--json")
		if len(why.Files) != 1 || why.Files[0].Path != "f" || len(why.Files[0].Waiters) != 1 {
			t.Fatalf("lock why %s: %+v", path, why)
		}
		w := why.Files[0].Waiters[0]
		if w.ID != ws[0].ID || len(w.Blockers) != 1 || w.Blockers[0].Owner != holder || len(w.Blockers[0].Holds) != 1 || w.Blockers[0].Holds[0].Kind != "range" {
			t.Errorf("lock why %s: who blocks whom: %+v", path, w)
		}
		if r := why.Refused; len(r) != 1 || r[0].Owner != ws[0].Owner || r[0].User != smbUser || r[0].Asked != "lock 0-9 exclusive" || r[0].Reason != "denied" || r[0].Holder != holder || r[0].Held != "exclusive 0-9" {
			t.Errorf("lock why %s: who was refused: %+v", path, r)
		}
	}
	text := g.dittofs("lock", "why", "f")
	for _, want := range []string{holder, ws[0].Owner + " (user " + smbUser + ") has waited", "blocked by " + holder, "range exclusive 0-9", "refused, the latest last"} {
		if !strings.Contains(text, want) {
			t.Errorf("lock why does not say %q:\n%s", want, text)
		}
	}
	if out := g.dittofs("lock", "waiters"); !strings.Contains(out, holder) || !strings.Contains(out, ws[0].Owner) {
		t.Errorf("lock waiters:\n%s", out)
	}

	var held []whole
	g.into(&held, "lock", "list", "--json", "--client", "client-a")
	if len(held) != 1 || held[0].Owner != holder {
		t.Fatalf("lock list --client: %+v", held)
	}
	var dry []whole
	g.into(&dry, "lock", "break", held[0].ID, "--dry-run", "--json")
	if len(dry) != 1 || dry[0].ID != held[0].ID {
		t.Errorf("lock break --dry-run: %+v", dry)
	}
	g.refusedBy("lock", "break", held[0].ID, "--dryrun")
	g.refusedBy("lock", "break", "r000000000000")
	g.refusedBy("lock", "break")
	var still []whole
	g.into(&still, "lock", "list", "--json", "--kind", "range,waiter")
	if len(still) != 2 || still[0].ID != held[0].ID || still[1].ID != ws[0].ID || strings.Contains(g.Log(), "taken away") {
		t.Errorf("after a dry run and mistakes: %+v", still)
	}

	if out := g.dittofs("lock", "break", held[0].ID); !strings.Contains(out, holder) {
		t.Errorf("lock break:\n%s", out)
	}
	if st := s.do("reply", args{"id": waiting.ID}).Status; st != statusOK {
		t.Errorf("the lock was broken and the waiter was answered %s", st)
	}
	if l := g.locks(); len(l) != 1 || l[0].Protocol != "smb" {
		t.Errorf("the waiter holds the lock; dittofs lock list says %+v", l)
	}
	g.logged(t, "taken away by the administrator", "uid=0", "pid=", "id="+held[0].ID, "owner="+holder, "path=f", "length=10")
	if n.lock(fh, 0, 10, false, false) != nlmDenied {
		t.Error("the NFS client holds the lock again")
	}

	// What was taken away is not presented to a gateway that comes back; what was not, is.
	if st := s.do("lock", args{"fid": fid, "offset": 20, "length": 5, "flags": smbLockExclusive | smbLockNow}).Status; st != statusOK {
		t.Fatalf("SMB LOCK: %s", st)
	}
	for _, e := range g.listed("--kind", "range") {
		if e.Protocol == "smb" && strings.Contains(g.dittofs("lock", "break", e.ID, "--dry-run"), " 0-9 ") {
			g.dittofs("lock", "break", e.ID)
		}
	}
	g.restartGateway(t)
	if l := g.locks(); len(l) != 1 || l[0].Start != 20 {
		t.Errorf("after the break of one of two SMB locks and a restart of the gateway: %+v", l)
	}

	// A broken open is closed for its client; a local program's cannot be broken.
	l := local(t)
	l.do("open", args{"name": filepath.Join(dir, "f"), "flags": os.O_RDONLY})
	for _, e := range g.listed("--kind", "open") {
		switch e.Protocol {
		case "smb":
			g.dittofs("lock", "break", e.ID)
		case "local":
			g.refusedBy("lock", "break", e.ID)
		}
	}
	if st := s.do("read", args{"fid": fid, "offset": 0, "length": 1}).Status; st != fileClosed {
		t.Errorf("SMB READ of an open that was broken: %s, want STATUS_FILE_CLOSED", st)
	}
	s.do("close", args{"fid": fid})
	if l := g.locks(); len(l) != 0 {
		t.Errorf("the open with the last lock was broken; dittofs lock list says %+v", l)
	}
	if st := n.lock(fh, 0, 0, false, false); st != nlmGranted && st != nlmGrace {
		t.Errorf("NLM LOCK when everything is broken: %d", st)
	}
}

func (g *gateway) listed(flags ...string) (list []whole) {
	g.t.Helper()
	g.into(&list, append([]string{"lock", "list", "--json"}, flags...)...)
	return list
}

// logged waits for a line of the log with all of words in it.
func (g *gateway) logged(t *testing.T, words ...string) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		for line := range strings.Lines(g.Log()) {
			if !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(line, w) }) {
				return
			}
		}
		if time.Now().After(deadline) {
			t.Errorf("no line of the log has all of %q", words)
			return
		}
	}
}

// restartGateway kills the gateway alone and waits until its successor serves every door.
func (g *gateway) restartGateway(t *testing.T) {
	t.Helper()
	old := g.pid("gateway")
	syscall.Kill(old, syscall.SIGKILL)
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if now := g.pid("gateway"); now != 0 && now != old && g.serving() {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("the gateway did not come back")
		}
	}
}

// The administrator breaks a lease as another opener would: its holder is asked, and what it acknowledged is gone.
func TestBreakLease(t *testing.T) {
	dir := tree(t)
	write(t, filepath.Join(dir, "f"), "0123456789")
	g := up(t, dir)
	s := g.smb(t)
	const key, rwh = "000102030405060708090a0b0c0d0e0f", 7
	o := s.do("open", args{"name": "f", "access": readWrite, "share": 7, "disposition": 1, "key": key, "state": rwh})
	if o.Status != statusOK || o.Lease != rwh {
		t.Fatalf("the lease: %+v", o)
	}
	g.dittofs("lock", "break", "--path", "f", "--dry-run")
	if b := s.do("breaks", args{"timeout": 0.2}).Breaks; len(b) != 0 {
		t.Fatalf("a dry run broke the lease: %+v", b)
	}
	g.dittofs("lock", "break", "--path", filepath.Join(dir, "f"))
	b := s.do("breaks", args{"timeout": 5}).Breaks
	if len(b) != 1 || b[0].Key != key || b[0].From != rwh || b[0].To != 0 || !b[0].Ack {
		t.Fatalf("breaks: %+v", b)
	}
	if l := g.listed("--kind", "lease"); len(l) != 1 || l[0].State != "breaking to -" || l[0].User != smbUser {
		t.Errorf("lock list of a breaking lease: %+v", l)
	}
	if st := s.do("ack", args{"key": key, "state": 0}).Status; st != statusOK {
		t.Fatalf("acknowledgement: %s", st)
	}
	if l := g.listed("--kind", "lease"); len(l) != 1 || l[0].Mode != "-" || l[0].State != "" {
		t.Errorf("lock list of a broken lease: %+v", l)
	}
	g.logged(t, "taken away by the administrator", "kind=lease", "user="+smbUser)
	m := g.scrape()
	if n := value(m, "dittofs_lease_break_seconds", "end", "acknowledged"); n != 1 {
		t.Errorf("dittofs_lease_break_seconds counts %v acknowledged breaks", n)
	}
	if n := value(m, "dittofs_lock_revoked_total", "kind", "lease"); n != 1 {
		t.Errorf("dittofs_lock_revoked_total counts %v leases", n)
	}
}

// A client that will not come back is forgotten with all it holds.
func TestForgetClient(t *testing.T) {
	dir := tree(t)
	write(t, filepath.Join(dir, "f"), "0123456789")
	g := up(t, dir)
	fh := g.nfs(t, 0).must("f")
	for i, host := range []string{"client-a", "client-b"} {
		if st := g.nlm(t, host, 7).lock(fh, uint64(20*i), 10, false, false); st != nlmGranted {
			t.Fatalf("NLM LOCK: %d", st)
		}
	}
	s := g.smb(t)
	s.do("open", args{"name": "f", "access": readWrite, "share": 7, "disposition": 1})
	type client struct {
		Client, Address string
		Users           []string
		Locks, Opens    int
	}
	list := func() (cs []client) { g.into(&cs, "client", "list", "--json"); return cs }
	cs := list()
	if len(cs) != 3 || cs[0].Client != "nlm:client-a" || cs[0].Address != clientAddr || cs[0].Locks != 1 || cs[2].Opens != 1 || !slices.Equal(cs[2].Users, []string{smbUser}) {
		t.Fatalf("client list: %+v", cs)
	}
	if out := g.dittofs("client", "forget", "nlm:client-a"); !strings.Contains(out, "it held 1") {
		t.Errorf("client forget: %s", out)
	}
	g.dittofs("client", "forget", cs[2].Client)
	if cs := list(); len(cs) != 1 || cs[0].Client != "nlm:client-b" || cs[0].Locks != 1 {
		t.Errorf("one of two hosts and the SMB client were forgotten: %+v", cs)
	}
	g.logged(t, "client forgotten by the administrator", "client=nlm:client-a", "uid=0")
	g.refusedBy("client", "forget", "local")
	g.refusedBy("client", "forget", "smb:12")
}

// `lock list --watch` prints the list again when it has changed.
func TestWatchLocks(t *testing.T) {
	dir := tree(t)
	write(t, filepath.Join(dir, "f"), "0123456789")
	g := up(t, dir)
	cmd := exec.Command(filepath.Join(bin, "dittofs"), "--state", g.State, "lock", "list", "--watch")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { cmd.Process.Kill(); cmd.Wait() }()
	line := make(chan string, 100)
	go func() {
		for sc := bufio.NewScanner(out); sc.Scan(); {
			line <- sc.Text()
		}
		close(line)
	}()
	next := func() string {
		select {
		case l := <-line:
			return l
		case <-time.After(10 * time.Second):
			t.Fatal("nothing is printed")
		}
		return ""
	}
	if l := next(); !strings.HasPrefix(l, "ID ") {
		t.Errorf("the first list: %q", l)
	}
	fh := g.nfs(t, 0).must("f")
	if st := g.nlm(t, "client-a", 7).lock(fh, 0, 10, false, false); st != nlmGranted {
		t.Fatalf("NLM LOCK: %d", st)
	}
	if l := next(); !strings.HasPrefix(l, "ID ") {
		t.Errorf("the second list: %q", l)
	}
	if l := next(); !strings.Contains(l, "nlm:client-a") {
		t.Errorf("the second list: %q", l)
	}
}

// scrape is the gateway's /metrics.
func (g *gateway) scrape() map[string]*dto.MetricFamily {
	g.t.Helper()
	r, err := http.Get("http://" + g.Ready["metrics"] + "/metrics")
	if err != nil {
		g.t.Fatal(err)
	}
	defer r.Body.Close()
	p := expfmt.NewTextParser(model.UTF8Validation)
	all, err := p.TextToMetricFamilies(r.Body)
	if err != nil {
		g.t.Fatal(err)
	}
	return all
}

// value is the series of name with these labels, a histogram's count; -1: there is none.
func value(all map[string]*dto.MetricFamily, name string, labels ...string) float64 {
	for _, m := range all[name].GetMetric() {
		fits := true
		for i := 0; i < len(labels); i += 2 {
			fits = fits && slices.ContainsFunc(m.Label, func(l *dto.LabelPair) bool { return l.GetName() == labels[i] && l.GetValue() == labels[i+1] })
		}
		switch {
		case !fits:
		case m.Gauge != nil:
			return m.Gauge.GetValue()
		case m.Counter != nil:
			return m.Counter.GetValue()
		case m.Histogram != nil:
			return float64(m.Histogram.GetSampleCount())
		}
	}
	return -1
}

// What is held, by whom and of what kind, is in /metrics while it is held, and what happened to it afterwards.
func TestLockMetrics(t *testing.T) {
	dir := tree(t)
	write(t, filepath.Join(dir, "f"), "0123456789")
	write(t, filepath.Join(dir, "g"), "")
	g := up(t, dir)
	fh := g.nfs(t, 0).must("f")
	n := g.nlm(t, "client-a", 7)
	for _, at := range []uint64{0, 20, 40} {
		if st := n.lock(fh, at, 10, false, false); st != nlmGranted {
			t.Fatalf("NLM LOCK: %d", st)
		}
	}
	s := g.smb(t)
	fid := s.do("open", args{"name": "f", "access": readWrite, "share": 7, "disposition": 1}).FID
	s.do("open", args{"name": "g", "access": readWrite, "share": 7, "disposition": 1, "key": "000102030405060708090a0b0c0d0e0f", "state": 7})
	lock := func(offset, flags int, wait bool) answer {
		return s.do("lock", args{"fid": fid, "offset": offset, "length": 10, "flags": flags, "wait": wait})
	}
	if st := lock(60, smbLockExclusive|smbLockNow, true).Status; st != statusOK {
		t.Fatalf("SMB LOCK: %s", st)
	}
	if st := lock(0, smbLockExclusive|smbLockNow, true).Status; st == statusOK {
		t.Fatal("SMB LOCK of what is locked went through")
	}
	n.unlock(fh, 40, 10)
	waiting := lock(0, smbLockExclusive, false)
	if !waiting.Pending {
		t.Fatalf("SMB LOCK that waits: %+v", waiting)
	}
	l := local(t)
	fd := l.do("open", args{"name": filepath.Join(dir, "f"), "flags": os.O_RDONLY}).FD
	l.do("lock", args{"fd": fd, "kind": "read", "start": 100, "length": 1})
	type want struct {
		name   string
		labels []string
		value  float64
	}
	check := func(when string, wants ...want) {
		t.Helper()
		all := g.scrape()
		for _, w := range wants {
			if v := value(all, w.name, append(w.labels, "daemon", "gateway")...); v != w.value {
				t.Errorf("%s: %s%v is %v, want %v", when, w.name, w.labels, v, w.value)
			}
		}
	}
	proto := func(p, k string) []string { return []string{"protocol", p, "kind", k} }
	check("held",
		want{"dittofs_locks", proto("nlm", "range"), 2},
		want{"dittofs_locks", proto("smb", "range"), 1},
		want{"dittofs_locks", proto("local", "range"), 1},
		want{"dittofs_locks", proto("local", "flock"), 0},
		want{"dittofs_opens", []string{"protocol", "smb", "state", "connected"}, 2},
		want{"dittofs_opens", []string{"protocol", "local", "state", "connected"}, 1},
		want{"dittofs_leases", proto("smb", "lease"), 1},
		want{"dittofs_lock_waiters", proto("smb", "range"), 1},
		want{"dittofs_lock_waiters", proto("local", "range"), 0},
		want{"dittofs_lock_hosts", nil, 1},
		want{"dittofs_grace_active", nil, 0},
		want{"dittofs_lock_grants_total", proto("nlm", "range"), 3},
		want{"dittofs_lock_grants_total", proto("smb", "range"), 1},
		want{"dittofs_lock_grants_total", proto("smb", "open"), 2},
		want{"dittofs_lock_denials_total", []string{"protocol", "smb", "kind", "range", "reason", "denied"}, 1},
		want{"dittofs_lock_denials_total", []string{"protocol", "nlm", "kind", "range", "reason", "denied"}, 0},
		want{"dittofs_lock_limit_hits_total", []string{"limit", "ranges_per_file"}, 0},
		want{"dittofs_lock_hold_seconds", []string{"protocol", "nlm"}, 1},
		want{"dittofs_lock_wait_seconds", proto("smb", "range"), 0},
	)
	if v := value(g.scrape(), "dittofs_lock_oldest_wait_seconds", "protocol", "smb"); v <= 0 {
		t.Errorf("the oldest wait is %v s", v)
	}
	if v := value(g.scrape(), "dittofs_lockdb_batch_records"); v < 3 {
		t.Errorf("%v batches in the lock database for four durable steps", v)
	}
	n.unlock(fh, 0, 10)
	if st := s.do("reply", args{"id": waiting.ID}).Status; st != statusOK {
		t.Fatalf("the waiter was answered %s", st)
	}
	check("after the unlock",
		want{"dittofs_locks", proto("nlm", "range"), 1},
		want{"dittofs_locks", proto("smb", "range"), 2},
		want{"dittofs_lock_waiters", proto("smb", "range"), 0},
		want{"dittofs_lock_grants_total", proto("smb", "range"), 2},
		want{"dittofs_lock_wait_seconds", proto("smb", "range"), 1},
		want{"dittofs_lock_hold_seconds", []string{"protocol", "nlm"}, 2},
		want{"dittofs_lock_oldest_wait_seconds", []string{"protocol", "smb"}, 0},
	)

	// After a crash the NFS client's lock is on record until it is reclaimed, and nothing new is granted.
	g.restartGateway(t)
	check("in grace",
		want{"dittofs_grace_active", nil, 1},
		want{"dittofs_locks_unclaimed", nil, 1},
		want{"dittofs_lock_reclaims_total", []string{"outcome", "granted"}, 0},
	)
	if v := value(g.scrape(), "dittofs_grace_left_seconds"); v <= 0 || v > 90 {
		t.Errorf("grace left: %v s", v)
	}
	n = g.nlm(t, "client-a", 7)
	if st := n.lock(fh, 20, 10, false, true); st != nlmGranted {
		t.Fatalf("reclaim: %d", st)
	}
	check("reclaimed",
		want{"dittofs_grace_active", nil, 0},
		want{"dittofs_locks_unclaimed", nil, 0},
		want{"dittofs_lock_reclaims_total", []string{"outcome", "granted"}, 1},
	)
}
