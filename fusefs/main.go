// dittofs-fusefs(8): the local door of DittoFS Gateway
//
// # NAME
//
// dittofs-fusefs — lets local programs use an exported directory under the same locks as NFS and SMB clients
//
// # SYNOPSIS
//
// dittofs-fusefs [--config FILE]
//
// # DESCRIPTION
//
// For each exported directory fusefs takes a clone of the directory (open_tree(2)), mounts itself over the directory's own path, and
// hands the clone to the gateway and to smbd, which work beneath the mount. A directory is served over the network only while it is
// mounted here, so that no program goes around the locks. One that cannot be mounted has a line in the log, keeps no other from being
// served, and is tried again every five seconds.
//
// A local open(2) of a file that no SMB or NLM client has open costs no message: fusefs holds a mark for it, which the gateway calls back
// before it lets such a client in. Otherwise a local open asks the gateway: it waits while an SMB client gives its lease back, and fails
// with EACCES where an SMB client has denied what it asks for. With O_NONBLOCK it does not wait and fails with EAGAIN. Record locks
// (fcntl(2), also of open file descriptions) are the same locks that NFS clients take by NLM and SMB clients by LOCK. flock(2) locks are
// known to the gateway but hold only among local programs. Opened files are read and written at the file system's own speed where the
// kernel can pass through (Linux 6.9, unless fuse.passthrough is false); elsewhere data goes through the daemon.
//
// A range that an SMB client has locked holds back truncation and locks by local programs. It does not hold back what they read and
// write in a file that they have open: that goes to the file, and nobody is asked.
//
// Names and attributes that another door changes are forgotten at once, those of a file that it goes on writing within 50 ms; should that
// message be lost, after one second. inotify(7) and fanotify(7) see what local programs do, not what NFS and SMB clients do.
//
// The mount is nosuid and nodev, and noexec or read-only where the directory's own mount is. File systems that are mounted below an
// exported directory are not served and are hidden while it is mounted; each has a line in the log at start. An exported directory may
// not lie inside another.
//
// When fusefs is killed, names fail with ENOTCONN until the next fusefs has mounted the directory again. Open descriptors fail for good,
// but where the kernel passes through they, and maps, go on to read and write. The next fusefs finds their programs in proc(5) and keeps their opens against
// other clients until they are closed. Where another client was granted something meanwhile that does not go with such an open, or the
// file has lost its name, a line in the log says so.
//
// At the end fusefs unmounts; where files are still open, the mount goes when they are closed or the process ends. A mount that a killed
// fusefs left behind is removed at the next start.
//
// # FILES
//
// /etc/dittofs/gateway.toml, /etc/dittofs/conf.d/*.toml: the exports. /run/dittofs/fusefs.sock: the hatch at the gateway.
// /run/dittofs/trees.sock: where the clones are handed over. /dev/fuse.
//
// # SIGNALS
//
// SIGTERM and SIGINT: withdraw the directories, unmount, end. SIGHUP: mount the exports that the configuration has more than before.
//
// # EXIT STATUS
//
// 0 after a signal; 1, with one line on standard error, where a directory cannot be served or was unmounted by somebody else.
//
// # SECURITY
//
// Runs as root with CAP_SYS_ADMIN (mount, passthrough), CAP_DAC_READ_SEARCH (files by handle), CAP_DAC_OVERRIDE, CAP_FOWNER, CAP_CHOWN,
// CAP_FSETID, CAP_MKNOD, CAP_SETUID, CAP_SETGID and CAP_SYS_PTRACE (who has files of a killed mount open). It trusts the gateway; it does
// not trust local programs: the kernel checks their permissions by mode and ACL, files belong to their makers, and writes take
// set-user-ID bits away as they do on any file system. Only root may connect to its hatch.
//
// # STANDARDS
//
// POSIX.1-2017 fcntl, open, rename; Linux flock(2), FUSE protocol 7.31 and later.
package main

import (
	"dittofs/fusefs/tree"
	"dittofs/gateway/daemon"
)

func main() { daemon.Main("fusefs", tree.Run) }
