package server

import (
	"context"

	"dittofs/smbd/fscc"
	"dittofs/smbd/ntstatus"
	"dittofs/smbd/smb2"
)

// IOCTL, [MS-SMB2] 3.3.5.15.

func ioctl(ctx context.Context, r *request) (reply, error) {
	var q smb2.IOCTLRequest
	if err := parse(&q, r); err != nil {
		return nil, err
	}
	if q.Flags != smb2.IOCTLFlagIsFSCTL {
		return nil, ntstatus.NotSupported
	}
	c := r.chain.c
	if max(uint64(len(q.Input)), uint64(q.MaxInputResponse)+uint64(q.MaxOutputResponse)) > uint64(c.maxTransfer) {
		return nil, ntstatus.InvalidParameter
	}
	a := &smb2.IOCTLResponse{CtlCode: q.CtlCode, FileID: q.FileID}
	switch q.CtlCode {
	case fscc.FsctlValidateNegotiateInfo:
		return validateNegotiate(r, &q, a)
	case fscc.FsctlDFSGetReferrals, fscc.FsctlDFSGetReferralsEx:
		return nil, ntstatus.FsDriverRequired // [MS-SMB2] 3.3.5.15.2: no DFS here
	case fscc.FsctlQueryNetworkInterfaceInfo, fscc.FsctlPipeWait:
		return nil, ntstatus.NotSupported
	}
	o, err := r.open(q.FileID)
	if err != nil {
		return nil, err
	}
	switch {
	case q.CtlCode == fscc.FsctlPipeTransceive && o.pipe != nil:
		out, more, err := o.pipe.Transact(q.Input, int(q.MaxOutputResponse))
		if err != nil {
			return nil, pipeError(err)
		}
		if a.Output = out; more {
			return a, ntstatus.BufferOverflow
		}
		return a, nil
	case q.CtlCode == fscc.FsctlGetReparsePoint:
		return nil, ntstatus.NotAReparsePoint
	case q.CtlCode == fscc.FsctlGetCompression && o.pipe == nil:
		a.Output = []byte{0, 0} // COMPRESSION_FORMAT_NONE
		return a, nil
	}
	return nil, ntstatus.InvalidDeviceRequest
}

// validateNegotiate proves that nobody changed the NEGOTIATE. A client that sees it otherwise than we do is cut off. [MS-SMB2] 3.3.5.15.12.
func validateNegotiate(r *request, q *smb2.IOCTLRequest, a *smb2.IOCTLResponse) (reply, error) {
	c := r.chain.c
	var v smb2.ValidateNegotiateInfoRequest
	if err := v.Parse(q.Input); err != nil {
		return nil, ntstatus.InvalidParameter
	}
	if c.dialect == smb2.Dialect311 {
		return nil, errProtocol("FSCTL_VALIDATE_NEGOTIATE_INFO in a dialect that has preauthentication integrity")
	}
	same := v.Capabilities == c.capabilities && v.SecurityMode == c.clientMode && [16]byte(v.GUID) == [16]byte(c.client) && len(v.Dialects) == len(c.offered)
	for i := range v.Dialects {
		same = same && v.Dialects[i] == c.offered[i]
	}
	if !same {
		return nil, errProtocol("NEGOTIATE was changed on its way")
	}
	if q.MaxOutputResponse < 24 {
		return nil, ntstatus.InvalidParameter
	}
	a.Output = (&smb2.ValidateNegotiateInfoResponse{Capabilities: c.ours, GUID: c.s.guid, SecurityMode: c.s.securityMode(), Dialect: c.dialect}).Append(nil)
	return a, nil
}
