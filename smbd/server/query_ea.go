package server

import (
	"strings"

	"dittofs/smbd/fscc"
	"dittofs/smbd/ntstatus"
	"dittofs/smbd/smb2"
)

// FileFullEaInformation, [MS-FSA] 2.1.5.12.12: the attributes that a list names, or those from where the last query of this open stopped.
func queryEAs(o *open, q *smb2.QueryInfoRequest) (reply, error) {
	if o.access&smb2.FileReadEA == 0 {
		return nil, ntstatus.AccessDenied
	}
	names, err := eaNames(o.file)
	if err != nil {
		return nil, err
	}
	if len(q.InputBuffer) > 0 {
		return namedEAs(o, q, names)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if q.Flags&smb2.QueryRestartScan != 0 {
		o.nextEA = 0
	}
	if q.Flags&smb2.QueryIndexSpecified != 0 {
		return nil, ntstatus.NotSupported // the classes for SMB2 carry no index
	}
	switch {
	case len(names) == 0:
		return nil, ntstatus.NoEAsOnFile
	case o.nextEA >= len(names):
		return nil, ntstatus.NoMoreEAs
	}
	names = names[o.nextEA:]
	if q.Flags&smb2.QueryReturnSingleEntry != 0 {
		names = names[:1]
	}
	b, n, err := fitEAs(o, names, q.OutputBufferLength)
	o.nextEA += n
	if b == nil {
		return nil, err
	}
	return &smb2.QueryInfoResponse{Buffer: b}, err
}

// namedEAs answers with every name that was asked for; one that is not there has no value.
func namedEAs(o *open, q *smb2.QueryInfoRequest, names []string) (reply, error) {
	if len(q.InputBuffer) > maxEAList {
		return nil, ntstatus.EATooLarge
	}
	asked, err := fscc.ParseEANames(q.InputBuffer)
	if err != nil {
		return nil, ntstatus.EAListInconsistent
	}
	for i, a := range asked {
		if !validEA(a) {
			return nil, ntstatus.InvalidEAName
		}
		for _, n := range names {
			if strings.EqualFold(n, a) {
				asked[i] = n
			}
		}
		if privateEA(asked[i]) {
			return nil, ntstatus.AccessDenied
		}
	}
	b, _, err := fitEAs(o, asked, q.OutputBufferLength)
	if b == nil {
		return nil, err
	}
	return &smb2.QueryInfoResponse{Buffer: b}, err
}

// fitEAs reads as many of the attributes as there is room for; n is how many.
func fitEAs(o *open, names []string, room uint32) (b []byte, n int, err error) {
	var list []fscc.EA
	size := uint64(0)
	for _, name := range names {
		e, err := readEA(o.file, name)
		if err != nil {
			return nil, 0, err
		}
		if size = (size+3)&^3 + fscc.EASize(&e); size > uint64(room) {
			if list == nil {
				return nil, 0, ntstatus.BufferTooSmall
			}
			return fscc.AppendEAs(nil, list), len(list), ntstatus.BufferOverflow
		}
		list = append(list, e)
	}
	return fscc.AppendEAs(nil, list), len(list), nil
}
