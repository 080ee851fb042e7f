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
	err = o.withStreams(func(in streamed) error {
		names, err := in.names()
		for _, n := range names {
			if !o.tree.share.isThere(in, n) {
				continue
			}
			size, err := in.size(n)
			if errors.Is(err, unix.ENODATA) {
				continue // gone meanwhile
			}
			if err != nil {
				return err
			}
			list = append(list, fscc.Stream{Size: size, AllocationSize: streamAllocation(size), Name: ":" + wireStream(n) + streamType})
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return fscc.AppendStreams(nil, list), nil
}
