package server

import (
	"errors"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"dittofs/gateway/export"
	"dittofs/smbd/fscc"
	"dittofs/smbd/ntstatus"
)

// Extended attributes, [MS-FSCC] 2.4.16: those of the file in the user namespace, byte for byte, so that local programs and Samba see the
// same. What the door itself keeps there is no client's. Names match in either case.
const eaPrefix = "user."

// maxEAList bounds a list, [MS-FSA] 2.1.5.15.5: all attributes of a file together have at most so many bytes.
const maxEAList = 64 << 10

// privateEA reports whether an attribute is the door's own.
func privateEA(name string) bool {
	low := strings.ToLower(name)
	return low == "dosattrib" || low == "samba_pai" || strings.HasPrefix(low, "dosstream.") || strings.HasPrefix(low, "dittofs.")
}

// validEA reports whether a client may give this name. [MS-FSCC] 2.4.16: 8-bit characters, none of those that Windows reserves.
func validEA(name string) bool {
	for i := range len(name) {
		if name[i] < 0x20 || strings.IndexByte("\"*+,/:;<=>?[\\]|", name[i]) >= 0 {
			return false
		}
	}
	return name != "" && len(eaPrefix)+len(name) <= 255
}

// eaNames lists a file's attributes, in order.
func eaNames(f *os.File) ([]string, error) {
	all, err := export.ListXattr(int(f.Fd()))
	if errors.Is(err, unix.EOPNOTSUPP) {
		return nil, nil
	}
	var names []string
	for _, a := range all {
		if n, ok := strings.CutPrefix(a, eaPrefix); ok && !privateEA(n) && len(n) <= 0xFF {
			names = append(names, n)
		}
	}
	slices.Sort(names)
	return names, err
}

// readEA reads one attribute; one that is not there has no value.
func readEA(f *os.File, name string) (fscc.EA, error) {
	v, err := export.ReadXattr(int(f.Fd()), eaPrefix+name)
	if errors.Is(err, unix.ENODATA) {
		err = nil
	}
	return fscc.EA{Name: name, Value: v}, err
}

// eaSize is what FileEaInformation tells: a length, and for each attribute flags, lengths, name, zero and value. [MS-FSCC] 2.4.13.
func eaSize(f *os.File) uint32 {
	names, err := eaNames(f)
	if err != nil || len(names) == 0 {
		return 0
	}
	size := 4
	for _, n := range names {
		v, _ := export.GetXattr(int(f.Fd()), eaPrefix+n, nil)
		size += 4 + len(n) + 1 + max(v, 0)
	}
	return uint32(size)
}

// checkEAs refuses a list before anything is done. [MS-FSA] 2.1.5.15.5.
func checkEAs(list []byte) ([]fscc.EA, error) {
	if len(list) > maxEAList {
		return nil, ntstatus.EATooLarge
	}
	eas, err := fscc.ParseEAs(list)
	if err != nil {
		return nil, ntstatus.EAListInconsistent
	}
	for _, e := range eas {
		switch {
		case !validEA(e.Name):
			return nil, ntstatus.InvalidEAName
		case privateEA(e.Name):
			return nil, ntstatus.AccessDenied
		case e.Flags&fscc.FileNeedEA != 0:
			return nil, ntstatus.InvalidParameter // there is no place for it
		}
	}
	return eas, nil
}

// setEAs stores attributes; one without a value goes. Whether it may, the open's rights said.
func setEAs(f *os.File, eas []fscc.EA) error {
	if len(eas) == 0 {
		return nil
	}
	names, err := eaNames(f)
	if err != nil {
		return err
	}
	for _, e := range eas {
		name := e.Name
		for _, n := range names {
			if strings.EqualFold(n, name) {
				name = n
			}
		}
		if len(e.Value) == 0 {
			err = export.RemoveXattr(int(f.Fd()), eaPrefix+name)
			if errors.Is(err, unix.ENODATA) {
				err = nil
			}
		} else {
			err = export.SetXattr(int(f.Fd()), eaPrefix+name, e.Value, 0)
			names = append(names, name)
		}
		switch {
		case errors.Is(err, unix.E2BIG), errors.Is(err, unix.ENOSPC), errors.Is(err, unix.ERANGE):
			return ntstatus.EATooLarge
		case errors.Is(err, unix.EOPNOTSUPP):
			return ntstatus.EasNotSupported
		case err != nil:
			return err
		}
	}
	return nil
}
