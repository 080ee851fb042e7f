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
	if openless(q.CtlCode) && q.FileID != (smb2.FileID{Persistent: ^uint64(0), Volatile: ^uint64(0)}) {
		return nil, ntstatus.InvalidParameter
	}
	switch q.CtlCode {
	case fscc.FsctlValidateNegotiateInfo:
		return validateNegotiate(r, &q, a)
	case fscc.FsctlDFSGetReferrals, fscc.FsctlDFSGetReferralsEx:
		return nil, ntstatus.FsDriverRequired // [MS-SMB2] 3.3.5.15.2: no DFS here
	case fscc.FsctlQueryNetworkInterfaceInfo:
		return queryNetworkInterfaces(r, &q, a)
	case fscc.FsctlPipeWait:
		return nil, ntstatus.NotSupported
	}
	o, err := r.open(q.FileID)
	if err != nil {
		return nil, err
	}
	a.FileID = o.id
	if o.pipe != nil {
		if q.CtlCode != fscc.FsctlPipeTransceive {
			return nil, ntstatus.InvalidDeviceRequest
		}
		out, more, err := o.pipe.Transact(q.Input, int(q.MaxOutputResponse))
		if err != nil {
			return nil, pipeError(err)
		}
		if a.Output = out; more {
			return a, ntstatus.BufferOverflow
		}
		return a, nil
	}
	do := controls[q.CtlCode]
	if do == nil {
		return nil, ntstatus.InvalidDeviceRequest
	}
	a.Output, err = do(ctx, r, o, &q)
	switch st := ntstatus.Of(err); {
	case !st.IsError():
		return a, err
	case a.Output != nil:
		return nil, errorBody{st, a}
	}
	return nil, err
}

// openless are the codes that are about no open, and must not name one. [MS-SMB2] 3.3.5.15.
func openless(code smb2.CtlCode) bool {
	switch code {
	case fscc.FsctlDFSGetReferrals, fscc.FsctlDFSGetReferralsEx, fscc.FsctlQueryNetworkInterfaceInfo, fscc.FsctlValidateNegotiateInfo, fscc.FsctlPipeWait:
		return true
	}
	return false
}

// control does what a code asks for with an open file. What it returns is told to the client even beside an error.
type control func(ctx context.Context, r *request, o *open, q *smb2.IOCTLRequest) ([]byte, error)

var controls = map[smb2.CtlCode]control{
	fscc.FsctlSrvRequestResumeKey:    requestResumeKey,
	fscc.FsctlSrvCopyChunk:           copyChunk,
	fscc.FsctlSrvCopyChunkWrite:      copyChunk,
	fscc.FsctlDuplicateExtentsToFile: duplicateExtents,
	fscc.FsctlSrvEnumerateSnapshots:  enumerateSnapshots,
	fscc.FsctlSetSparse:              setSparse,
	fscc.FsctlSetZeroData:            setZeroData,
	fscc.FsctlQueryAllocatedRanges:   queryAllocatedRanges,
	fscc.FsctlFileLevelTrim:          fileLevelTrim,
	fscc.FsctlCreateOrGetObjectID:    objectID,
	fscc.FsctlGetObjectID:            objectID,
	fscc.FsctlGetCompression:         getCompression,
	fscc.FsctlSetCompression:         setCompression,
	fscc.FsctlGetReparsePoint: func(context.Context, *request, *open, *smb2.IOCTLRequest) ([]byte, error) {
		return nil, ntstatus.NotAReparsePoint
	},
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
