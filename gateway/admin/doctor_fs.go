package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"dittofs/gateway/export"
)

func resolves(name string) bool {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	a, err := net.DefaultResolver.LookupHost(ctx, name)
	return err == nil && len(a) > 0
}

// features asks a directory's file system, with a file that has no name and leaves no trace. Through our own mount handles mean nothing:
// the gateway, which serves the directory, had them from beneath.
func (d *doctor) features(path string, mounted bool) {
	dir, err := os.Open(path)
	if err != nil {
		d.fault("export %s: %v", path, err)
		return
	}
	defer dir.Close()
	if !mounted {
		if _, err := export.KeyOf(int(dir.Fd())); err != nil {
			d.fault("export %s: its file system gives no file handles, so NFS cannot serve it: %v", path, err)
		}
	}
	a, err := export.Stat(int(dir.Fd()))
	if err != nil {
		d.fault("export %s: %v", path, err)
		return
	}
	lacks := ""
	if a.Btime == (export.Time{}) {
		lacks += "; no birth times, so SMB shows the time of the last change as the time of creation"
	}
	fd, err := unix.Open(path, unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
	switch {
	case err == nil:
		defer unix.Close(fd)
		if err := unix.Fsetxattr(fd, "user.dittofs.doctor", []byte("x"), 0); err != nil {
			lacks += fmt.Sprintf("; no extended attributes (%v), so SMB keeps no DOS attributes", err)
		}
	case err == unix.EROFS:
		lacks += "; it is mounted read-only"
	}
	if lacks != "" {
		d.warn("export %s: its file system has%s", path, lacks[1:])
		return
	}
	d.ok("export %s: its file system has all that is used", path)
}

// passthroughSince is the kernel from which on programs on this host read and write at native speed.
var passthroughSince = [2]int{6, 9}

func (d *doctor) kernel() {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		d.fault("uname: %v", err)
		return
	}
	release := unix.ByteSliceToString(u.Release[:])
	var v [2]int
	fmt.Sscanf(release, "%d.%d", &v[0], &v[1])
	less := func(than [2]int) bool { return v[0] < than[0] || v[0] == than[0] && v[1] < than[1] }
	switch {
	case less([2]int{5, 8}):
		d.fault("Linux %s is too old: openat2 and faccessat2 are needed, Linux 5.8", release)
	case less(passthroughSince):
		d.warn("Linux %s has no FUSE passthrough: programs on this host read and write through dittofs-fusefs, until Linux 6.9", release)
	default:
		d.ok("Linux %s, with FUSE passthrough", release)
	}
}

func (d *doctor) fuse() {
	f, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
	if err != nil {
		d.fault("FUSE is not available: %v (modprobe fuse, or give /dev/fuse to this container)", err)
		return
	}
	f.Close()
	d.ok("FUSE is available; dittofs-fusefs mounts as root, so user_allow_other in /etc/fuse.conf does not matter")
}

// clock: NFS clients compare the server's times with each other, Kerberos and SMB with their own.
func (d *doctor) clock() {
	var t unix.Timex
	state, err := unix.Adjtimex(&t)
	switch {
	case time.Now().Year() < 2024:
		d.fault("the clock says %s", time.Now().Format(time.RFC3339))
	case err != nil:
		d.warn("the clock's state cannot be read: %v", err)
	case state == unix.TIME_ERROR || t.Status&unix.STA_UNSYNC != 0:
		d.warn("nobody synchronizes the clock: Kerberos fails from five minutes off on, and times of files jump")
	default:
		d.ok("the clock is synchronized")
	}
}
