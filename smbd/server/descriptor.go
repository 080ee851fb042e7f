package server

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"os"

	"golang.org/x/sys/unix"

	"dittofs/gateway/export"
	"dittofs/smbd/dtyp"
	"dittofs/smbd/smb2"
)

// A file has one security descriptor, in one of two forms:
//
//   - kept: the descriptor that a client set stands in an extended attribute as it was set, and beside it, for the other doors, the mode and
//     POSIX ACL that come closest (descriptor_posix.go). Then the descriptor decides for SMB, [MS-DTYP] 2.5.3.2.
//   - not kept: the mode and POSIX ACL are all there is. The kernel decides, and clients are shown what it would say.
//
// A hash of owner, mode and ACLs goes with what is kept: who changes them through another door ends it.
const keptDescriptor = "trusted.dittofs.sd"

const (
	keptVersion = 1
	keptHead    = 1 + 16
	maxXattr    = 1 << 16
)

// posix is what the kernel looks at.
type posix struct {
	mode, uid, gid uint32
	access, def    []byte // export.AccessACL, export.DefaultACL
}

func posixOf(f *os.File, i *info) *posix {
	p := &posix{mode: i.mode, uid: i.uid, gid: i.gid, access: xattr(f, export.AccessACL)}
	if i.isDir() {
		p.def = xattr(f, export.DefaultACL)
	}
	return p
}

func (p *posix) hash() (sum [16]byte) {
	b := make([]byte, 0, 256)
	for _, n := range []uint32{p.mode, p.uid, p.gid, uint32(len(p.access))} {
		b = binary.LittleEndian.AppendUint32(b, n)
	}
	b = append(append(b, p.access...), p.def...)
	full := sha256.Sum256(b)
	copy(sum[:], full[:])
	return sum
}

// xattr reads an extended attribute of any length; nil if there is none.
func xattr(f *os.File, name string) []byte {
	var small [512]byte
	n, err := export.GetXattr(int(f.Fd()), name, small[:])
	if err == nil {
		return bytes.Clone(small[:n])
	}
	if err != unix.ERANGE {
		return nil
	}
	b := make([]byte, maxXattr)
	if n, err = export.GetXattr(int(f.Fd()), name, b); err != nil {
		return nil
	}
	return b[:n]
}

func removeXattr(f *os.File, name string) { export.RemoveXattr(int(f.Fd()), name) }

// kept is the descriptor that a client set, nil if there is none or another door has ended it. i may be nil.
func kept(f *os.File, i *info) *dtyp.SecurityDescriptor {
	b := xattr(f, keptDescriptor)
	if len(b) < keptHead || b[0] != keptVersion {
		return nil
	}
	if i == nil {
		a, err := export.Stat(int(f.Fd()))
		if err != nil {
			return nil
		}
		i = fromAttr(&a)
	}
	if sum := posixOf(f, i).hash(); !bytes.Equal(b[1:keptHead], sum[:]) {
		return nil
	}
	var d dtyp.SecurityDescriptor
	if d.Parse(b[keptHead:]) != nil {
		return nil
	}
	return &d
}

// keep stores a descriptor for the file as its mode and ACL are now.
func keep(f *os.File, d *dtyp.SecurityDescriptor) error {
	a, err := export.Stat(int(f.Fd()))
	if err != nil {
		return err
	}
	sum := posixOf(f, fromAttr(&a)).hash()
	b := append(append(make([]byte, 0, 512), keptVersion), sum[:]...)
	return export.SetXattr(int(f.Fd()), keptDescriptor, d.Append(b), 0)
}

// descriptor is what a client is shown.
func descriptor(f *os.File, i *info) *dtyp.SecurityDescriptor {
	if d := kept(f, i); d != nil {
		return d
	}
	return posixOf(f, i).descriptor()
}

// describe gives a file a descriptor whose owner and group are set already: the mode and ACLs that come closest, and where they do not say
// the same, the descriptor itself beside them.
func describe(f *os.File, i *info, d *dtyp.SecurityDescriptor) error {
	p := express(d, i)
	if err := p.apply(f, i); err != nil {
		return err
	}
	a, err := export.Stat(int(f.Fd()))
	if err != nil {
		return err
	}
	now := posixOf(f, fromAttr(&a))
	if bytes.Equal(now.descriptor().Append(nil), d.Append(nil)) {
		removeXattr(f, keptDescriptor)
		return nil
	}
	return keep(f, d)
}

// specific is what an access mask means for a file. [MS-SMB2] 2.2.13.1.
func specific(mask uint32) uint32 { return uint32(smb2.AccessMask(mask).Mapped()) }
