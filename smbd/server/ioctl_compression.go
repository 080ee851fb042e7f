package server

import (
	"context"
	"encoding/binary"

	"dittofs/smbd/ntstatus"
	"dittofs/smbd/smb2"
)

// FSCTL_GET_COMPRESSION and FSCTL_SET_COMPRESSION, [MS-FSA] 2.1.5.10.9 and 2.1.5.10.34: nothing is compressed.
const compressionNone = 0

func getCompression(_ context.Context, _ *request, _ *open, q *smb2.IOCTLRequest) ([]byte, error) {
	if q.MaxOutputResponse < 2 {
		return nil, ntstatus.InvalidUserBuffer
	}
	return []byte{compressionNone, 0}, nil
}

func setCompression(_ context.Context, _ *request, o *open, q *smb2.IOCTLRequest) ([]byte, error) {
	switch {
	case o.access&writesData == 0:
		return nil, ntstatus.AccessDenied
	case len(q.Input) < 2:
		return nil, ntstatus.InvalidParameter
	case binary.LittleEndian.Uint16(q.Input) != compressionNone:
		return nil, ntstatus.NotSupported
	}
	return nil, nil
}
