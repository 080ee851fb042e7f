package server

import (
	"os"

	"golang.org/x/sys/unix"

	"dittofs/gateway/export"
	"dittofs/smbd/ntstatus"
	"dittofs/smbd/smb2"
)

// Modes of what SMB clients make: the protocol has none. A default ACL of the directory goes before them.
const (
	newFile      = 0o644
	newDirectory = 0o755
)

const (
	readsData  = smb2.FileReadData | smb2.FileExecute
	writesData = smb2.FileWriteData | smb2.FileAppendData
)

func (c *creation) readable() bool { return c.access&readsData != 0 }
func (c *creation) writable() bool { return c.access&writesData != 0 }

// make creates the file or directory. Whoever creates it has all rights to it, whatever its mode.
// Nobody hears of it before it is whole.
func (c *creation) make() (err error) {
	q := c.q
	switch {
	case q.CreateDisposition == smb2.FileOpen || q.CreateDisposition == smb2.FileOverwrite:
		return ntstatus.ObjectNameNotFound
	case c.tree.maximal&smb2.FileWriteData == 0:
		return ntstatus.AccessDenied
	case q.FileAttributes&smb2.FileAttributeReadonly != 0 && q.CreateOptions&smb2.FileDeleteOnClose != 0:
		return ntstatus.CannotDelete // [MS-FSA] 2.1.5.1.1
	case q.FileAttributes&smb2.FileAttributeDirectory != 0 && q.CreateOptions&smb2.FileNonDirectoryFile != 0:
		return ntstatus.InvalidParameter
	}
	if c.dir, err = export.KeyOf(int(c.at.parent.Fd())); err != nil {
		return err
	}
	directory := q.CreateOptions&smb2.FileDirectoryFile != 0
	if c.above = kept(c.at.parent, nil); !mayMake(c.s.verdictOf(c.above), directory) {
		return ntstatus.AccessDenied
	}
	if c.max {
		c.access |= smb2.FileAllAccess & c.tree.maximal
	}
	err = c.s.as(c.vol, func() (err error) {
		dir, name := int(c.at.parent.Fd()), c.at.name
		fd, mode := -1, uint32(0o777)
		if c.above != nil {
			mode = 0o700 // the owner's, until the descriptor says more
		}
		if directory {
			err = export.Mkdir(dir, name, newDirectory&mode)
			c.made = err == nil
			return err
		} else {
			fd, err = export.OpenAt(dir, name, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL, newFile&mode)
			c.made = err == nil
		}
		if err == nil {
			c.file = os.NewFile(uintptr(fd), name)
		}
		return err
	})
	if c.made && directory {
		err = c.openMade()
	}
	if err == unix.EEXIST && q.CreateDisposition != smb2.FileCreate {
		return errAgain // somebody was faster
	}
	if err != nil {
		return err
	}
	c.action = smb2.FileCreated
	if c.info, err = statNew(c.file, c.at.name); err != nil {
		return err
	}
	if err := c.furnish(); err != nil {
		return err
	}
	return c.secure()
}

// openMade opens the directory that was just made. A default ACL may leave its owner no right to read it, so that the superuser must open
// it, and see that nobody has put another in its place.
func (c *creation) openMade() error {
	fd, err := export.OpenAt(int(c.at.parent.Fd()), c.at.name, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	c.file = os.NewFile(uintptr(fd), c.at.name)
	if a, err := export.Stat(fd); err != nil || a.UID != c.s.cred().UID {
		return ntstatus.AccessDenied
	}
	return nil
}

// openExisting opens what is there with the rights that were asked for, without changing it.
func (c *creation) openExisting() (err error) {
	q := c.q
	if c.info, err = statFile(c.at.file, c.at.name); err != nil {
		return err
	}
	i := c.info
	switch {
	case q.CreateDisposition == smb2.FileCreate:
		return ntstatus.ObjectNameCollision
	case i.isDir() && q.CreateOptions&smb2.FileNonDirectoryFile != 0:
		return ntstatus.FileIsADirectory
	case !i.isDir() && q.CreateOptions&smb2.FileDirectoryFile != 0:
		return ntstatus.NotADirectory
	case i.isDir() && c.truncates():
		return ntstatus.ObjectNameCollision
	case c.truncates() && c.tree.maximal&smb2.FileWriteData == 0:
		return ntstatus.AccessDenied
	case !i.isDir() && i.attributes&smb2.FileAttributeReadonly != 0 && (c.writable() || c.truncates()):
		return ntstatus.AccessDenied // [MS-FSA] 2.1.5.1.2.1
	case i.attributes&smb2.FileAttributeReadonly != 0 && q.CreateOptions&smb2.FileDeleteOnClose != 0:
		return ntstatus.CannotDelete
	case c.truncates() && i.kept()&^q.FileAttributes&(smb2.FileAttributeHidden|smb2.FileAttributeSystem) != 0:
		return ntstatus.AccessDenied // who overwrites must know that it is hidden. [MS-FSA] 2.1.5.1.2
	case !i.isDir() && !i.isRegular() && (c.writable() || c.readable() || c.truncates()):
		return ntstatus.AccessDenied // a FIFO, socket or device
	}
	c.action = smb2.FileOpened
	if c.truncates() {
		c.action = smb2.FileOverwritten
		if q.CreateDisposition == smb2.FileSupersede {
			c.action = smb2.FileSuperseded
		}
	}
	c.rights = c.s.judge(c.at.file, i)
	if c.max {
		c.access |= c.maximal()
	}
	if c.rights == nil {
		return c.s.as(c.vol, c.reopen)
	}
	if need := c.needs(); need&^*c.rights != 0 || c.access&smb2.Delete != 0 && !c.mayDelete() {
		return ntstatus.AccessDenied
	}
	return c.reopenGranted()
}

// mayDelete asks as the user whether the name may go.
func (c *creation) mayDelete() (may bool) {
	c.s.as(c.vol, func() error { may = c.s.mayDelete(c.at, c.info, c.rights); return nil })
	return may
}

// reopen turns the place into a descriptor that carries the rights; the kernel refuses them.
func (c *creation) reopen() error {
	if c.access&smb2.Delete != 0 && !c.s.mayDelete(c.at, c.info, nil) {
		return ntstatus.AccessDenied
	}
	owner := c.s.cred().UID == 0 || c.s.cred().UID == c.info.uid
	if c.access&(smb2.WriteDAC|smb2.WriteOwner) != 0 && !owner {
		return ntstatus.AccessDenied
	}
	fd := int(c.at.file.Fd())
	if c.access&(smb2.FileWriteAttributes|smb2.FileWriteEA) != 0 && !owner || c.truncates() || c.info.isDir() && c.writable() {
		if err := export.MayAccess(fd, unix.W_OK); err != nil {
			return err
		}
	}
	return c.reopenGranted()
}

// needs are the rights that a kept descriptor must grant. Overwriting writes. [MS-FSA] 2.1.5.1.2.1.
func (c *creation) needs() smb2.AccessMask {
	need := c.access &^ smb2.Delete
	if c.truncates() {
		need |= smb2.FileWriteData
	}
	return need
}

// reopenGranted opens what the user has been found to have the right to.
func (c *creation) reopenGranted() error {
	fd, flags := int(c.at.file.Fd()), unix.O_RDONLY
	switch {
	case !c.info.isRegular() && !c.info.isDir(), c.info.isDir() && !c.readable(), !c.readable() && !c.writable():
		c.file, c.at.file = c.at.file, nil
		return nil
	case c.info.isDir():
		if c.access&smb2.FileListDirectory == 0 { // FILE_TRAVERSE alone
			c.file, c.at.file = c.at.file, nil
			return nil
		}
		flags |= unix.O_DIRECTORY
	case c.readable() && c.writable():
		flags = unix.O_RDWR
	case c.writable():
		flags = unix.O_WRONLY
	}
	n, err := export.Reopen(fd, flags)
	if err != nil {
		return err
	}
	c.file = os.NewFile(uintptr(n), c.at.name)
	c.at.file.Close()
	c.at.file = nil
	return nil
}

// maximal are all the rights that the user could have. [MS-SMB2] 3.3.5.9.5.
func (c *creation) maximal() smb2.AccessMask {
	if c.made {
		return smb2.FileAllAccess & (c.tree.maximal | ^writes)
	}
	if c.rights != nil {
		a := *c.rights &^ smb2.Delete
		if c.mayDelete() {
			a |= smb2.Delete
		}
		return a & (c.tree.maximal | ^writes)
	}
	var a smb2.AccessMask = smb2.FileReadAttributes | smb2.ReadControl | smb2.Synchronize | smb2.FileReadEA
	c.s.as(c.vol, func() error {
		f := c.file
		if f == nil {
			f = c.at.file
		}
		fd := int(f.Fd())
		if export.MayAccess(fd, unix.R_OK) == nil {
			a |= smb2.FileReadData | smb2.FileExecute
		}
		if export.MayAccess(fd, unix.X_OK) == nil {
			a |= smb2.FileExecute
		}
		owner := c.s.cred().UID == 0 || c.s.cred().UID == c.info.uid
		if export.MayAccess(fd, unix.W_OK) == nil {
			a |= smb2.FileWriteAttributes | smb2.FileWriteEA
			if c.info.isDir() {
				a |= smb2.FileAddFile | smb2.FileAddSubdirectory | smb2.FileDeleteChild
			} else if c.info.attributes&smb2.FileAttributeReadonly == 0 {
				a |= smb2.FileWriteData | smb2.FileAppendData | smb2.FileDeleteChild // which means nothing, and belongs to all rights
			}
		}
		if owner {
			a |= smb2.WriteDAC | smb2.WriteOwner | smb2.FileWriteAttributes | smb2.FileWriteEA
		}
		if c.s.mayDelete(c.at, c.info, nil) {
			a |= smb2.Delete
		}
		return nil
	})
	return a & (c.tree.maximal | ^writes)
}
