package check

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// torture are the shares that smbtorture's tests ask for, each with what is special about it.
var torture = map[string]string{"share": "", "kernel": "", "nofruit": "", "noperm": "", "create_no_streams": "no_streams = true", "fruit": "apple = true",
	"shadow": `snapshots = ".snapshots/@GMT-%Y.%m.%d-%H.%M.%S"`, "hideunread": "hide_unreadable = true"}

// prepare puts in place what tests ask for that they do not make themselves.
func prepare(t *testing.T, base string) {
	t.Helper()
	old := filepath.Join(base, "shadow/.snapshots/@GMT-2015.10.31-19.40.30")
	if err := os.MkdirAll(old, 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(old, "foo"), "old")
	if err := unix.Setxattr(filepath.Join(old, "foo"), "user.DosStream.bar:$DATA", []byte("bar\x00"), 0); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(base, "kernel/sparse.dat"), strings.Repeat("x", 8192))
	for _, f := range []string{filepath.Join(old, "foo"), old, filepath.Join(base, "kernel/sparse.dat")} {
		if err := os.Chown(f, owner, owner); err != nil {
			t.Fatal(err)
		}
	}
}

// TestSMBTorture runs Samba's own tests while NFS reads and writes beside them. DITTOFS_SMBTORTURE=all runs the slow ones too; a name
// runs only the tests that begin with it.
func TestSMBTorture(t *testing.T) {
	base := filepath.Dir(tree(t))
	var conf strings.Builder
	fmt.Fprintf(&conf, "state = %q\nrun = %q\nlisten = \"127.0.0.1\"\nlog_level = \"warn\"\n", base+"/state", base+"/state/run")
	// The first export's owner is as whom the user acts.
	for _, name := range slices.Sorted(maps.Keys(torture)) {
		dir := filepath.Join(base, name)
		if err := os.MkdirAll(dir, 0o777); err != nil {
			t.Fatal(err)
		}
		os.Chmod(dir, 0o777)
		os.Chown(dir, owner, owner)
		fmt.Fprintf(&conf, "[[export]]\npath = %q\nname = %q\ninsecure = true\n%s\n", dir, name, torture[name])
	}
	prepare(t, base)
	// nofruit is fruit's directory, served in another way.
	if err := unix.Mount(filepath.Join(base, "fruit"), filepath.Join(base, "nofruit"), "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Unmount(filepath.Join(base, "nofruit"), unix.MNT_DETACH) })
	if err := os.Chmod(filepath.Join(base, "noperm"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(filepath.Join(base, "noperm"), 0, 0); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(base, "torture.toml")
	if err := os.WriteFile(file, []byte(conf.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	g := upWith(t, filepath.Join(base, "share"), filepath.Join(base, "state"), "up", "--config", file, "--user", smbUser)
	second := exec.Command(filepath.Join(bin, "dittofs"), "user", "add", "--config", file, "daemon")
	second.Env = append(os.Environ(), "DITTOFS_PASSWORD="+smbPassword)
	if out, err := second.CombinedOutput(); err != nil {
		t.Fatalf("a second user: %v\n%s", err, out)
	}

	which := os.Getenv("DITTOFS_SMBTORTURE")
	slow := names(t, "smbtorture/slow.txt")
	here := strings.NewReplacer("@EXPORTED_DIRECTORY@", base, "@PASSWORD@", smbPassword)
	var list bytes.Buffer
	for _, f := range []string{"core.txt", "special.txt", "aapl.txt"} {
		b, err := os.ReadFile("smbtorture/" + f)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(b)) {
			name, _, _ := strings.Cut(strings.TrimSpace(line), "\t")
			switch {
			case name == "" || name[0] == '#', which == "" && slow[name] != "", which != "" && which != "all" && !strings.HasPrefix(name, which):
				continue
			}
			list.WriteString(here.Replace(line))
		}
	}
	work := t.TempDir()
	if d := os.Getenv("DITTOFS_SMBTORTURE_LOGS"); d != "" {
		work = d
	}
	if err := os.WriteFile(work+"/list", list.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}

	stop, beside, calls := make(chan struct{}), make(chan struct{}), 0
	go func() { defer close(beside); g.nfsBeside(t, stop, &calls) }()
	results, reasons := g.smbtorture(t, base, work)
	expected := names(t, "smbtorture/expected.txt")
	if len(results) < bytes.Count(list.Bytes(), []byte("\n")) {
		t.Errorf("%d results of %d tests", len(results), bytes.Count(list.Bytes(), []byte("\n")))
	}
	// What fails on a busy machine because a client came too late passes by itself.
	unexpected := func() (tests []string) {
		for name, line := range results {
			result, _, _ := strings.Cut(line, "\t")
			want, _, _ := strings.Cut(cmp.Or(expected[name], "pass"), "\t")
			if result != want {
				tests = append(tests, name)
			}
		}
		slices.Sort(tests)
		return tests
	}
	if again := unexpected(); len(again) > 0 && len(again) < 10 {
		var lines bytes.Buffer
		for line := range strings.Lines(list.String()) {
			name, _, _ := strings.Cut(strings.TrimSpace(line), "\t")
			if slices.Contains(again, name) {
				lines.WriteString(line)
			}
		}
		t.Logf("once more, alone: %q", again)
		if err := os.WriteFile(work+"/list", lines.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		second, why := g.smbtorture(t, base, work)
		maps.Copy(results, second)
		maps.Copy(reasons, why)
	}
	close(stop)
	<-beside
	t.Logf("%d calls over NFS beside the tests", calls)
	if calls < 100 {
		t.Errorf("only %d calls over NFS beside the tests", calls)
	}
	for _, name := range unexpected() {
		if strings.HasPrefix(results[name], "pass") {
			t.Errorf("%s passes: take it off smbtorture/expected.txt", name)
		} else {
			t.Errorf("%s: %s", name, reasons[name])
		}
	}
}

// smbtorture runs the list in work and returns each test's result and seconds, and why it did not pass.
func (g *gateway) smbtorture(t *testing.T, base, work string) (results, reasons map[string]string) {
	t.Helper()
	_, port, _ := net.SplitHostPort(g.Ready["smb"])
	iptables, err := filepath.Abs("smbtorture/iptables")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("smbtorture/run", "127.0.0.1", port, "share", smbUser, "-", work+"/list", work+"/out.tsv")
	cmd.Env = append(os.Environ(), "SMB_PASS="+smbPassword, "QUIET=1", "EXTRA=--option=torture:use_iptables=yes --option=torture:iptables_command="+iptables, "PRE_CMD=rm -rf "+base+"/share/*")
	out, err := cmd.CombinedOutput()
	if _, ran := err.(*exec.ExitError); err != nil && !ran {
		t.Fatalf("smbtorture/run: %v\n%s", err, out)
	}
	t.Logf("%s", out)
	return names(t, work+"/out.tsv"), names(t, work+"/out.tsv.reasons")
}

// names reads lines of a name and, behind a tab, what is to be said of it.
func names(t *testing.T, file string) map[string]string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for line := range strings.Lines(string(b)) {
		name, rest, _ := strings.Cut(strings.TrimRight(line, "\n"), "\t")
		if name != "" && name[0] != '#' {
			if rest == "" {
				rest = "-"
			}
			out[name] = rest
		}
	}
	return out
}

// nfsBeside writes and reads a file over NFS until stop, checks what it reads, and counts its calls.
func (g *gateway) nfsBeside(t *testing.T, stop <-chan struct{}, calls *int) {
	name := ".beside" // smbtorture's own files are taken away between tests, this one is not
	if err := os.WriteFile(filepath.Join(g.Dir, name), nil, 0o666); err != nil {
		t.Error(err)
		return
	}
	os.Chmod(filepath.Join(g.Dir, name), 0o666)
	n := g.nfs(t, owner)
	fh := n.must(name)
	for {
		select {
		case <-stop:
			return
		case <-time.After(20 * time.Millisecond):
		}
		text := fmt.Sprintf("written as number %d", *calls)
		offset := uint64(*calls%64) * 4096
		if st := n.write(fh, offset, text); st != nfsOK {
			t.Errorf("WRITE beside the tests: %d", st)
			return
		}
		if got, st := n.read(fh, offset, uint32(len(text))); st != nfsOK || got != text {
			t.Errorf("READ beside the tests: %d, %q, want %q", st, got, text)
			return
		}
		*calls += 2
	}
}
