package server

import (
	"context"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"dittofs/gateway/export"
	"dittofs/smbd/appledouble"
	"dittofs/smbd/fscc"
	"dittofs/smbd/ntstatus"
	"dittofs/smbd/smb2"
	"dittofs/smbd/wire"
)

// QUERY_DIRECTORY, [MS-SMB2] 3.3.5.18 and [MS-FSA] 2.1.5.6.3.

// scan is a directory open's place: the pattern of the first query, and how far the client has read.
type scan struct {
	pattern string
	cookie  uint64   // of the entry that comes next
	dots    int      // how many of "." and ".." were given
	found   bool     // something matched
	over    bool     // the one name was looked up
	dir     *os.File // a descriptor of its own, whose offset is the scan's
}

func (s *scan) close() {
	if s != nil && s.dir != nil {
		s.dir.Close()
	}
}

func queryDirectory(ctx context.Context, r *request) (reply, error) {
	var q smb2.QueryDirectoryRequest
	if err := parse(&q, r); err != nil {
		return nil, err
	}
	o, err := r.open(q.FileID)
	if err != nil {
		return nil, err
	}
	switch {
	case o.pipe != nil || !o.directory:
		return nil, ntstatus.InvalidParameter
	case o.access&smb2.FileListDirectory == 0:
		return nil, ntstatus.AccessDenied
	case q.OutputBufferLength > r.chain.c.maxTransfer:
		return nil, ntstatus.InvalidParameter
	}
	class := fscc.FileClass(q.FileInformationClass)
	d, ok := fscc.NewDirectory(class, q.OutputBufferLength, nil)
	if !ok {
		return nil, ntstatus.InvalidInfoClass
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if err := o.position(&q); err != nil {
		return nil, err
	}
	err = r.session.as(o.vol, func() error { return o.list(d, class, q.Flags&smb2.ReturnSingleEntry != 0) })
	if err != nil {
		return nil, err
	}
	return &smb2.QueryDirectoryResponse{Buffer: d.Bytes()}, nil
}

// position begins a scan, begins it again, or leaves it where it is. The pattern stays the first one's unless the scan is reopened.
func (o *open) position(q *smb2.QueryDirectoryRequest) error {
	s := o.scan
	if s == nil || q.Flags&smb2.Reopen != 0 {
		fd, err := export.Reopen(int(o.file.Fd()), unix.O_RDONLY|unix.O_DIRECTORY)
		if err != nil {
			return err
		}
		s.close()
		s = &scan{pattern: q.FileName, dir: os.NewFile(uintptr(fd), "scan")}
		if s.pattern == "" {
			s.pattern = "*"
		}
		o.scan = s
	}
	if q.Flags&(smb2.RestartScans|smb2.Reopen) != 0 {
		s.cookie, s.dots, s.found, s.over = 0, 0, false, false
		if q.FileName != "" {
			s.pattern = q.FileName
		}
	}
	return nil
}

// list adds what fits, and remembers where it stopped.
func (o *open) list(d *fscc.Directory, class fscc.FileClass, single bool) error {
	s := o.scan
	full := func() error {
		if d.Count() == 0 {
			return ntstatus.BufferOverflow
		}
		return nil
	}
	for ; s.dots < 2; s.dots++ {
		name := [...]string{".", ".."}[s.dots]
		if !fscc.Match(s.pattern, name, true) {
			continue
		}
		i, err := statFile(o.file, name)
		if err != nil {
			return err
		}
		if !d.Add(o.tree.entry(i, name)) {
			return full()
		}
		if s.found = true; single {
			s.dots++
			return nil
		}
	}
	if literal(s.pattern) {
		return o.listOne(d, class)
	}
	reader, err := export.ReadDir(int(s.dir.Fd()), s.cookie, nil)
	if err != nil {
		return err
	}
	for {
		var e export.Entry
		more, err := reader.Next(&e)
		if err != nil {
			return err
		}
		if !more {
			break
		}
		disk := string(e.Name)
		name := wireName(disk)
		if disk == "." || disk == ".." || !fscc.Match(s.pattern, name, true) {
			s.cookie = e.Cookie
			continue
		}
		i, err := o.child(disk)
		if err == nil && o.hides(disk) {
			err = unix.ENOENT
		}
		if err != nil { // gone meanwhile, or a link that leads nowhere
			s.cookie = e.Cookie
			continue
		}
		if !d.Add(o.described(i, disk, class)) {
			return full()
		}
		s.cookie = e.Cookie
		if s.found = true; single {
			return nil
		}
	}
	switch {
	case d.Count() > 0:
		return nil
	case s.found:
		return ntstatus.NoMoreFiles
	}
	s.found = true // the next query has no more files
	return ntstatus.NoSuchFile
}

// literal reports whether a pattern is one name. [MS-FSA] 2.1.4.4.
func literal(pattern string) bool { return !strings.ContainsAny(pattern, `*?<>"`) }

// listOne is list for a pattern that is one name, which needs no scan.
func (o *open) listOne(d *fscc.Directory, class fscc.FileClass) error {
	s := o.scan
	if s.over {
		if d.Count() > 0 {
			return nil
		}
		return ntstatus.NoMoreFiles
	}
	name, ok := diskName(s.pattern)
	var i *info
	err := error(unix.ENOENT)
	if ok && !s.found { // "." and ".." were it
		if i, err = o.child(name); err == unix.ENOENT {
			if name, err = o.vol.names.search(o.file, name); err == nil && name != "" {
				i, err = o.child(name)
			}
		}
	}
	if err == nil && i != nil && !o.hides(name) {
		if !d.Add(o.described(i, name, class)) {
			return ntstatus.BufferOverflow
		}
		s.found = true
	}
	s.over = true
	switch {
	case d.Count() > 0:
		return nil
	case s.found:
		return ntstatus.NoMoreFiles
	}
	return ntstatus.NoSuchFile
}

// described is the entry of a name on disk, with what a Mac wants to know.
func (o *open) described(i *info, disk string, class fscc.FileClass) *fscc.DirectoryEntry {
	e := o.tree.entry(i, wireName(disk))
	if class == fscc.FileIDBothDirectory && o.tree.aapl.Load() {
		o.finderEntry(e, disk, i)
	}
	return e
}

// hides reports whether a listing leaves a name out: an AppleDouble file's beside its file, where the share serves Macs; and where the
// share shows only what the user may read, what may not be read. [MS-SMB2] 2.2.10, ACCESS_BASED_DIRECTORY_ENUM.
func (o *open) hides(name string) bool {
	if base, ok := strings.CutPrefix(name, appledouble.Prefix); ok && base != "" && o.tree.apple() {
		if _, err := export.StatAt(int(o.file.Fd()), base); err == nil {
			return true
		}
	}
	if !o.tree.share.terms().HideUnreadable {
		return false
	}
	fd, err := export.OpenAt(int(o.file.Fd()), name, unix.O_PATH, 0)
	if err != nil {
		return true
	}
	f := os.NewFile(uintptr(fd), name)
	defer f.Close()
	if d := kept(f, nil); d != nil && o.session.cred().UID != 0 {
		const reads = smb2.FileGenericRead &^ smb2.Synchronize
		return reads&^smb2.AccessMask(d.Granted(o.session.token())) != 0
	}
	return export.MayAccess(fd, unix.R_OK) != nil
}

// child asks about a name in the directory; a symbolic link is what it leads to, as long as that is beneath the root.
func (o *open) child(name string) (*info, error) {
	i, err := statName(o.file, name)
	if err != nil || i.mode&unix.S_IFMT != unix.S_IFLNK {
		return i, err
	}
	dir, ok := where(o.vol.root, o.file)
	if !ok {
		return nil, unix.ENOENT
	}
	f, err := openBeneath(o.vol.root, join(dir, name), unix.O_PATH)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return statFile(f, name)
}

func (t *tree) entry(i *info, name string) *fscc.DirectoryEntry {
	return &fscc.DirectoryEntry{
		CreationTime: wire.FiletimeOf(i.birth), LastAccessTime: wire.FiletimeOf(i.access), LastWriteTime: wire.FiletimeOf(i.write),
		ChangeTime: wire.FiletimeOf(i.change), EndOfFile: i.size, AllocationSize: i.alloc, FileAttributes: i.attributes, FileID: t.fileID(i), FileName: name,
	}
}
