package server

import (
	"context"

	"dittofs/smbd/fscc"
	"dittofs/smbd/ntstatus"
	"dittofs/smbd/smb2"
	"dittofs/smbd/wire"
)

// FSCTL_CREATE_OR_GET_OBJECT_ID and FSCTL_GET_OBJECT_ID, [MS-FSA] 2.1.5.10.1: file system and inode number name a file here.
func objectID(_ context.Context, _ *request, o *open, q *smb2.IOCTLRequest) ([]byte, error) {
	var id fscc.FileObjectID
	wire.Put64(id.ObjectID[:], o.vol.fsid)
	wire.Put64(id.ObjectID[8:], o.key.Ino)
	wire.Put64(id.BirthVolumeID[:], o.vol.fsid)
	id.BirthObjectID = id.ObjectID
	b := id.Append(nil)
	if uint64(len(b)) > uint64(q.MaxOutputResponse) {
		return nil, ntstatus.InvalidParameter
	}
	return b, nil
}
