package server

import (
	"errors"

	"golang.org/x/sys/unix"

	"dittofs/smbd/fscc"
)

// streamInfo is FileStreamInformation, [MS-FSCC] 2.4.49 and [MS-FSA] 2.1.5.12.29: the file's own bytes first, which a directory has not.
func (o *open) streamInfo() ([]byte, error) {
	i, err := statFile(o.file, o.called())
	if err != nil {
		return nil, err
	}
	var list []fscc.Stream
	if !i.isDir() {
		list = append(list, fscc.Stream{Size: i.size, AllocationSize: i.alloc, Name: ":" + streamType})
	}
	if o.tree.share.terms().NoStreams {
		return fscc.AppendStreams(nil, list), nil
	}
	names, err := streamNames(o.file)
	if err != nil {
		return nil, err
	}
	for _, n := range names {
		if !o.tree.share.isThere(o.file, n) {
			continue
		}
		size, err := streamSize(o.file, n)
		if errors.Is(err, unix.ENODATA) {
			continue // gone meanwhile
		}
		if err != nil {
			return nil, err
		}
		list = append(list, fscc.Stream{Size: size, AllocationSize: streamAllocation(size), Name: ":" + n + streamType})
	}
	return fscc.AppendStreams(nil, list), nil
}
