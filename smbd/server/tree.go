package server

import (
	"os"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"dittofs/gateway/config"
	"dittofs/gateway/export"
	"dittofs/smbd/ntstatus"
	"dittofs/smbd/rpc"
	"dittofs/smbd/smb2"
)

// share is a Share, [MS-SMB2] 3.3.1.6: an exported tree, or IPC$ for the named pipes.
type share struct {
	name   string
	ipc    bool
	config atomic.Pointer[config.Export] // its terms, which a reload changes
	vol    atomic.Pointer[volume]        // nil while the tree is away: it is served only while local programs reach it through the mount
}

// volume is the tree of a share as it is mounted now. Its descriptor lives as long as somebody uses it.
type volume struct {
	root   *os.File
	fsid   uint64
	clones bool      // files can share blocks
	past   bool      // a snapshot
	names  *listings // of its directories, in any case
}

// canClone asks the file system whether files can share blocks, with two files that have no name. ioctl_ficlone(2).
func canClone(root *os.File) bool {
	var fd [2]int
	for i := range fd {
		n, err := unix.Openat(int(root.Fd()), ".", unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
		if err != nil {
			return false
		}
		defer unix.Close(n)
		fd[i] = n
	}
	return unix.IoctlFileClone(fd[0], fd[1]) == nil
}

// as runs f with the session's rights on the disk.
func (s *session) as(v *volume, f func() error) error {
	defer runtime.KeepAlive(v)
	return export.As(s.cred(), f)
}

// tree is a TreeConnect, [MS-SMB2] 3.3.1.9.
type tree struct {
	id      uint32
	share   *share
	session *session
	maximal smb2.AccessMask
	aapl    atomic.Bool // the client speaks Apple's extensions
}

// volume is where the tree's files are.
func (t *tree) volume() (*volume, error) {
	if v := t.share.vol.Load(); v != nil {
		return v, nil
	}
	return nil, ntstatus.FileNotAvailable
}

// share finds a share by name; letters match in either case.
func (s *Server) share(name string) *share { return s.offer.Load().by[strings.ToLower(name)] }

// terms are what the configuration says of the share.
func (h *share) terms() *config.Export { return h.config.Load() }

// encrypts is Share.EncryptData.
func (h *share) encrypts() bool { return h.terms().Encrypt }

// grants is the most that anybody may do here.
func (h *share) grants() smb2.AccessMask {
	if h.ipc || h.terms().ReadOnly {
		return smb2.FileGenericRead | smb2.FileGenericExecute
	}
	return smb2.FileAllAccess
}

// admits reports whether a user may come in. Anonymous clients may only ask IPC$ for the list of shares.
func (h *share) admits(s *session) bool {
	if h.ipc {
		return true
	}
	i := s.identity.Load()
	if i.anonymous {
		return false
	}
	return len(h.terms().Users) == 0 || slices.ContainsFunc(h.terms().Users, func(u string) bool { return strings.EqualFold(u, i.user.Name) })
}

// SetTree brings the tree of a share, or with nil takes it away. root becomes the Server's.
func (s *Server) SetTree(name string, root *os.File) error {
	h := s.share(name)
	if h == nil || h.ipc {
		if root != nil {
			root.Close()
		}
		return ntstatus.BadNetworkName
	}
	if root == nil {
		h.vol.Store(nil)
		return nil
	}
	var st unix.Statfs_t
	if err := unix.Fstatfs(int(root.Fd()), &st); err != nil {
		root.Close()
		return err
	}
	h.vol.Store(&volume{root: root, names: &s.listings, fsid: uint64(uint32(st.Fsid.Val[0])) | uint64(uint32(st.Fsid.Val[1]))<<32, clones: canClone(root)})
	return nil
}

// rpcInfo is what the pipes tell of us.
func (s *Server) rpcInfo() rpc.Info {
	return rpc.Info{ServerName: s.name, Names: s.unixNames(), Shares: func() []rpc.Share {
		var l []rpc.Share
		for _, e := range s.offer.Load().exports {
			l = append(l, rpc.Share{Name: e.Name, Comment: e.Comment})
		}
		return l
	}}
}
