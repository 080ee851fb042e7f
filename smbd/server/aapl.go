package server

import (
	"os"

	"golang.org/x/sys/unix"

	"dittofs/gateway/export"
	"dittofs/smbd/fscc"
	"dittofs/smbd/smb2"
)

// Apple's extensions, on shares with the setting apple: the AAPL create context, directory entries with what the Finder wants to know,
// NFS entries in security descriptors (aapl_ace.go), copying of whole files (ioctl_copyfile.go), and streams as a Mac thinks of them
// (aapl_stream.go). A client that has sent the context once speaks them on that tree.

// model is what the server says it is; the Finder shows an icon for models that it knows.
const model = "DittoFS1"

// apple reports whether the tree's share serves Macs.
func (t *tree) apple() bool { return t.share.terms().Apple }

// answerAAPL answers a server query; nil: the context is none of ours.
func (t *tree) answerAAPL(data []byte) []byte {
	var q smb2.AAPLQuery
	if !t.apple() || q.Parse(data) != nil || q.Command != smb2.AAPLServerQuery {
		return nil
	}
	a := smb2.AAPLAnswer{Bitmap: q.Bitmap & (smb2.AAPLServerCaps | smb2.AAPLVolumeCaps | smb2.AAPLModelInfo), Model: model,
		ServerCaps: smb2.AAPLReadDirAttr | smb2.AAPLCopyFile | smb2.AAPLUnixBased | smb2.AAPLNFSACE}
	if t.share.terms().TimeMachine {
		a.VolumeCaps |= smb2.AAPLFullSync
	}
	t.aapl.Store(true)
	return a.Append(nil)
}

// fileID is a file's number for the client. macOS takes it for one that is never given again, as HFS+ numbers files; the file system does give
// an inode's number again, so that a Mac is told of none, which is zero. [MS-FSCC] 2.4.
func (t *tree) fileID(i *info) uint64 {
	if t.aapl.Load() {
		return 0
	}
	return i.ino
}

// finderEntry fills in an entry of FileIdBothDirectoryInformation: the user's rights for EaSize, the resource fork's length and the
// Finder's information for the short name, the mode for the bytes behind it.
func (o *open) finderEntry(e *fscc.DirectoryEntry, disk string, i *info) {
	fd, err := export.OpenAt(int(o.file.Fd()), disk, unix.O_PATH, 0)
	if err != nil {
		return
	}
	f := os.NewFile(uintptr(fd), disk)
	defer f.Close()
	e.EaSize = uint32(o.session.finderRights(f, i))
	e.Finder = &fscc.FinderEntry{Mode: uint16(i.mode)}
	in := o.tree.streamed(f, nil)
	in.double, _ = openDouble(o.file, disk, unix.O_RDONLY)
	defer in.double.close()
	if n, err := in.size(afpResource); err == nil {
		e.Finder.ResourceFork = n
	}
	if b, err := in.read(afpInfo); err == nil && !emptyAfpInfo(b) {
		finder := b[16:48]
		if !i.isDir() {
			copy(e.Finder.Info[:8], finder[:8]) // type and creator
		}
		copy(e.Finder.Info[8:], finder[8:10])     // flags
		copy(e.Finder.Info[10:], finder[24:26])   // extended flags
		copy(e.Finder.Info[12:16], finder[28:32]) // when it was added
	}
}

// finderRights are the rights that the thread's user has to a file.
func (s *session) finderRights(f *os.File, i *info) smb2.AccessMask {
	if v := s.judge(f, i); v != nil {
		return *v
	}
	var a smb2.AccessMask
	for _, x := range []struct {
		mode uint32
		mask smb2.AccessMask
	}{{unix.R_OK, smb2.FileGenericRead}, {unix.W_OK, smb2.FileGenericWrite | smb2.Delete}, {unix.X_OK, smb2.FileGenericExecute}} {
		if export.MayAccess(int(f.Fd()), x.mode) == nil {
			a |= x.mask
		}
	}
	if uid := s.cred().UID; uid == 0 || uid == i.uid {
		a |= smb2.WriteDAC | smb2.WriteOwner
	}
	return a
}
