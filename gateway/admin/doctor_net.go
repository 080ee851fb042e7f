package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"dittofs/gateway/oncrpc/rpcbind"
)

// portNumber is the one of an address "host:port".
func portNumber(at string) uint16 {
	_, p, _ := net.SplitHostPort(at)
	n, _ := strconv.ParseUint(p, 10, 16)
	return uint16(n)
}

// ports looks whether the doors' ports are free, or ours.
func (d *doctor) ports() {
	p := d.cfg.Ports
	taken := 0
	for _, x := range []struct {
		door string
		port uint16
	}{{"nfs", p.NFS}, {"mount", p.Mount}, {"nlm", p.NLM}, {"nsm", p.NSM}, {"smb", p.SMB}, {"metrics", p.Metrics}} {
		if d.status != nil && d.status.Serving()[x.door] != "" {
			continue
		}
		host := d.cfg.Listen
		if x.door == "metrics" && host == "" {
			host = "127.0.0.1"
		}
		l, err := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(int(x.port))))
		switch {
		case err == nil:
			l.Close()
		case errors.Is(err, syscall.EADDRINUSE):
			taken++
			d.fault("port %d for %s is taken%s; [ports] in the configuration names another", x.port, x.door, by(x.port))
		default:
			taken++
			d.fault("port %d for %s: %v", x.port, x.door, err)
		}
	}
	switch {
	case taken > 0:
	case d.status != nil:
		d.ok("every door answers")
	default:
		d.ok("the doors' ports are free")
	}
}

// by tells which program listens on a TCP port.
func by(port uint16) string {
	inodes := map[string]bool{}
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		b, _ := os.ReadFile(table)
		for _, line := range strings.Split(string(b), "\n") {
			// sl local_address rem_address st … inode; 0A is LISTEN. proc(5).
			f := strings.Fields(line)
			if len(f) > 9 && f[3] == "0A" && strings.HasSuffix(f[1], fmt.Sprintf(":%04X", port)) {
				inodes["socket:["+f[9]+"]"] = true
			}
		}
	}
	fds, _ := filepath.Glob("/proc/[0-9]*/fd/*")
	for _, fd := range fds {
		if to, err := os.Readlink(fd); err == nil && inodes[to] {
			pid := strings.Split(fd, "/")[2]
			name, _ := os.ReadFile("/proc/" + pid + "/comm")
			return fmt.Sprintf(" by %s, process %s", strings.TrimSpace(string(name)), pid)
		}
	}
	if len(inodes) > 0 {
		return " by the kernel"
	}
	return ""
}

const portmapper = "127.0.0.1:111"

// rpcbind looks whether clients that ask port 111 are sent to us.
func (d *doctor) rpcbind(ctx context.Context) {
	if !d.cfg.NFS.Rpcbind {
		d.warn("nfs.rpcbind is off: clients must name the ports, and locks over NFS do not work with clients that ask for NLM's")
		return
	}
	if !rpcbind.Answers(ctx, d.keeper()) {
		if d.status != nil {
			d.fault("nobody answers at port 111, and the gateway does not serve it: see its log")
		} else {
			d.ok("no rpcbind runs: the gateway will serve port 111 itself")
		}
		return
	}
	c, err := rpcbind.Dial(ctx, "tcp", d.keeper())
	if err != nil {
		d.fault("rpcbind: %v", err)
		return
	}
	wrong := 0
	for _, x := range []struct {
		door             string
		program, version uint32
	}{{"nfs", 100003, 3}, {"mount", 100005, 3}, {"nlm", 100021, 4}, {"nsm", 100024, 1}} {
		port, err := c.GetPort(ctx, x.program, x.version, 6)
		ours := uint16(0)
		if d.status != nil {
			ours = portNumber(d.status.Serving()[x.door])
		}
		switch {
		case d.status == nil && err == nil && port != 0:
			wrong++
			d.warn("rpcbind knows another server of %s, at port %d%s; it will be replaced", x.door, port, by(port))
		case d.status != nil && (err != nil || port == 0):
			wrong++
			d.fault("rpcbind does not know our %s: clients do not find it", x.door)
		case d.status != nil && port != ours:
			wrong++
			d.fault("rpcbind sends clients that look for %s to port %d%s, and not to ours, %d", x.door, port, by(port), ours)
		}
	}
	if wrong == 0 {
		d.ok("rpcbind answers, and nothing stands there that should not")
	}
}

func (d *doctor) keeper() string {
	if d.cfg.Listen != "" {
		return net.JoinHostPort(d.cfg.Listen, "111")
	}
	return portmapper
}

// kernelLockd finds the kernel's own lock manager. It registers itself as program 100021 when this host mounts by NFS version 3 with
// locks, or when the kernel's NFS server starts, and then clients' locks go to it.
func (d *doctor) kernelLockd(context.Context) {
	if b, err := os.ReadFile("/proc/fs/nfsd/threads"); err == nil && strings.TrimSpace(string(b)) != "0" {
		d.fault("the kernel's NFS server runs with %s threads: stop it (systemctl disable --now nfs-server)", strings.TrimSpace(string(b)))
		return
	}
	why := nfsMounts("/proc/self/mounts")
	runs := false
	names, _ := filepath.Glob("/proc/[0-9]*/comm")
	for _, f := range names {
		if b, _ := os.ReadFile(f); strings.TrimSpace(string(b)) == "lockd" {
			exe, _ := os.Readlink(filepath.Dir(f) + "/exe")
			runs = runs || exe == "" // a thread of the kernel has no program
		}
	}
	switch {
	case runs && len(why) > 0:
		d.fault("the kernel's lock manager runs, for %s, and takes NLM's registration from ours: mount it with -o nolock or vers=4", strings.Join(why, ", "))
	case runs:
		d.fault("the kernel's lock manager runs and takes NLM's registration from ours: see /proc/mounts and nfs-server")
	case len(why) > 0:
		d.warn("%s is mounted by NFS version 3 with locks: the kernel's lock manager may take NLM's registration from ours", strings.Join(why, ", "))
	default:
		d.ok("the kernel's lock manager does not run")
	}
}

// nfsMounts are the mount points whose locks the kernel's lock manager serves.
func nfsMounts(table string) (points []string) {
	b, _ := os.ReadFile(table)
	for _, line := range strings.Split(string(b), "\n") {
		f := strings.Fields(line)
		if len(f) < 4 || f[2] != "nfs" {
			continue
		}
		options := "," + f[3] + ","
		if strings.Contains(options, ",vers=3,") && !strings.Contains(options, ",nolock,") && !strings.Contains(options, ",local_lock=all,") {
			points = append(points, f[1])
		}
	}
	return points
}
