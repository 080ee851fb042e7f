package server

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"

	"dittofs/gateway/export"
	"dittofs/smbd/appledouble"
)

// netatalk is the attribute in which Netatalk, and Samba unless it is told otherwise, keep what the Finder does: an AppleDouble file without a resource fork.
// It is read where there is no AFP_AfpInfo, which it becomes when that is changed.
const netatalk = "user.org.netatalk.Metadata"

// netatalkInfo is the AFP_AfpInfo that the attribute amounts to; nil: it has nothing for the Finder. blob is the attribute without it.
func netatalkInfo(f *os.File) (info, blob []byte) {
	blob, err := export.ReadXattr(int(f.Fd()), netatalk)
	if err != nil {
		return nil, nil
	}
	h, err := appledouble.Parse(blob, uint64(len(blob)))
	if err != nil || h.Finder.Length == 0 {
		return nil, nil
	}
	info = newAfpInfo()
	finder := blob[h.Finder.Offset:][:appledouble.FinderSize]
	copy(info[16:48], finder)
	clear(finder)
	if emptyAfpInfo(info) {
		return nil, nil
	}
	return info, blob
}

// takeNetatalk makes the attribute an AFP_AfpInfo. It runs as the user.
func takeNetatalk(f *os.File) error {
	info, blob := netatalkInfo(f)
	if info == nil {
		return nil
	}
	if err := writeStream(f, afpInfo, info, unix.XATTR_CREATE); err != nil && !errors.Is(err, unix.EEXIST) {
		return err
	}
	return export.SetXattr(int(f.Fd()), netatalk, blob, unix.XATTR_REPLACE)
}
