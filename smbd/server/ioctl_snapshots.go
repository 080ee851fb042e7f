package server

import (
	"context"
	"time"

	"dittofs/smbd/ntstatus"
	"dittofs/smbd/smb2"
	"dittofs/smbd/wire"
)

// FSCTL_SRV_ENUMERATE_SNAPSHOTS, [MS-SMB2] 3.3.5.15.1: all snapshots of the share, the newest first. A client without room for all learns
// how much it needs.
func enumerateSnapshots(_ context.Context, r *request, o *open, q *smb2.IOCTLRequest) ([]byte, error) {
	if q.MaxOutputResponse < 16 {
		return nil, ntstatus.InvalidParameter
	}
	v, err := o.tree.volume()
	if err != nil {
		return nil, err
	}
	var list []time.Time
	err = r.session.as(v, func() (err error) { list, err = o.tree.snapshots(v); return err })
	if err != nil {
		return nil, err
	}
	var names []byte
	for _, t := range list {
		names = wire.AppendZero(wire.AppendUTF16(names, t.Format(gmtToken)), 2)
	}
	names = wire.AppendZero(names, 2)
	returned := len(list)
	b := wire.Append32(nil, uint32(len(list)))
	if uint64(12+len(names)) > uint64(q.MaxOutputResponse) {
		returned = 0
	}
	b = wire.Append32(b, uint32(returned))
	b = wire.Append32(b, uint32(len(names)))
	if returned < len(list) {
		return wire.AppendZero(b, 4), nil
	}
	if b = append(b, names...); len(b) < 16 {
		b = wire.AppendZero(b, 16-len(b))
	}
	return b, nil
}
