package main

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// target is something that serves a directory.
type target struct {
	name    string
	program string
	// args serve lower at mnt; over: it mounts over lower itself.
	args func(lower, mnt, state string) []string
	over bool
}

func targets() []target {
	hp := os.Getenv("PASSTHROUGH_HP")
	if hp == "" {
		hp = "passthrough_hp"
	}
	up := func(more ...string) func(lower, _, state string) []string {
		return func(lower, _, state string) []string {
			return append([]string{"up", lower, "--state", state, "--no-rpcbind", "--log-level", "warn"}, more...)
		}
	}
	program := filepath.Join(os.Getenv("DITTOFS_BIN"), "dittofs")
	peer := func(more ...string) func(lower, mnt, _ string) []string {
		return func(lower, mnt, _ string) []string { return append([]string{"--foreground", lower, mnt}, more...) }
	}
	return []target{
		{name: "native"},
		{"dittofs", program, up(), true},
		{"dittofs-nopass", program, up("--no-passthrough"), true},
		{"passthrough_hp", hp, peer(), false},
		{"passthrough_hp-nopass", hp, peer("--nopassthrough"), false},
		{"bindfs", "bindfs", func(lower, mnt, _ string) []string { return []string{"-f", lower, mnt} }, false},
	}
}

// ground is a place on disk with a file system in a loop device, and what is measured with.
type ground struct {
	dir  string
	tree string // a tar file: the Go library's source
}

const files = 10000

func newGround() (*ground, error) {
	dir, err := os.MkdirTemp("/var/tmp", "bench-fuse-")
	if err != nil {
		return nil, err
	}
	g := &ground{dir: dir, tree: filepath.Join(dir, "tree.tar")}
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err == nil {
		err = exec.Command("tar", "cf", g.tree, "-C", filepath.Join(strings.TrimSpace(string(root)), "src"), "net", "runtime", "internal").Run()
	}
	for _, d := range []string{"lower", "mnt", "state"} {
		os.Mkdir(filepath.Join(dir, d), 0o755)
	}
	return g, err
}

func (g *ground) at(name string) string { return filepath.Join(g.dir, name) }

func (g *ground) remove() { os.RemoveAll(g.dir) }

// serve makes a fresh file system with 10,000 files and a git repository in it, mounts it anew, so that it is cold, and lets t serve it.
func (g *ground) serve(t target) (dir string, leave func(), err error) {
	lower := g.at("lower")
	for _, args := range [][]string{
		{"rm", "-rf", g.at("state")}, {"truncate", "-s", "0", g.at("img")}, {"truncate", "-s", "4G", g.at("img")}, {"mkfs.ext4", "-q", g.at("img")},
		{"mount", "-o", "loop", g.at("img"), lower}, {"mkdir", filepath.Join(lower, "many"), filepath.Join(lower, "repo")},
		{"tar", "xf", g.tree, "-C", filepath.Join(lower, "repo")},
		{"git", "-C", filepath.Join(lower, "repo"), "init", "-q"}, {"git", "-C", filepath.Join(lower, "repo"), "add", "."},
	} {
		if err := command(args...); err != nil {
			return "", nil, err
		}
	}
	for i := range files {
		if err := os.WriteFile(filepath.Join(lower, "many", fmt.Sprint("file-", i)), nil, 0o644); err != nil {
			return "", nil, err
		}
	}
	for _, args := range [][]string{{"umount", lower}, {"mount", "-o", "loop", g.at("img"), lower}} {
		if err := command(args...); err != nil {
			return "", nil, err
		}
	}
	if t.program == "" {
		return lower, func() { command("umount", lower) }, nil
	}
	dir = g.at("mnt")
	if t.over {
		dir = lower
	}
	log, err := os.Create(g.at("log"))
	if err != nil {
		return "", nil, err
	}
	cmd := exec.Command(t.program, t.args(lower, g.at("mnt"), g.at("state"))...)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return "", nil, err
	}
	leave = func() {
		cmd.Process.Signal(unix.SIGTERM)
		cmd.Wait()
		log.Close()
		unix.Unmount(g.at("mnt"), unix.MNT_DETACH)
		command("umount", lower)
	}
	for end := time.Now().Add(20 * time.Second); !isFuse(dir); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			leave()
			out, _ := os.ReadFile(g.at("log"))
			return "", nil, fmt.Errorf("not mounted: %s", out)
		}
	}
	if t.over { // until the last daemon answers
		for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
			if out, _ := os.ReadFile(g.at("log")); strings.Contains(string(out), "ready ") {
				break
			}
		}
	}
	return dir, leave, nil
}

func command(args ...string) error {
	out, err := exec.Command(args[0], args[1:]...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%v: %w: %s", args, err, out[:min(len(out), 200)])
	}
	return nil
}

func isFuse(dir string) bool {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return false
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		if w := strings.Fields(s.Text()); len(w) > 8 && w[4] == dir && strings.Contains(s.Text(), " - fuse") {
			return true
		}
	}
	return false
}
