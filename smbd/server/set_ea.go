package server

import (
	"context"

	"dittofs/gateway/lock"
	"dittofs/smbd/ntstatus"
	"dittofs/smbd/smb2"
)

// setEAInfo is FileFullEaInformation, [MS-FSA] 2.1.5.15.5.
func setEAInfo(ctx context.Context, r *request, o *open, list []byte) error {
	if o.access&smb2.FileWriteEA == 0 {
		return ntstatus.AccessDenied
	}
	eas, err := checkEAs(list)
	if err != nil {
		return err
	}
	done, err := o.admit(ctx, r, lock.OpSetAttr, 0, 0)
	if err != nil {
		return err
	}
	err = setEAs(o.file, eas)
	done(err == nil)
	if err == nil {
		o.modified(ctx, smb2.NotifyChangeEA, false)
	}
	return err
}
