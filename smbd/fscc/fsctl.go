package fscc

import "dittofs/smbd/smb2"

// Control codes, [MS-FSCC] 2.3 and [MS-SMB2] 2.2.31.
const (
	FsctlDFSGetReferrals           smb2.CtlCode = 0x00060194
	FsctlDFSGetReferralsEx         smb2.CtlCode = 0x000601B0
	FsctlSetReparsePoint           smb2.CtlCode = 0x000900A4
	FsctlGetReparsePoint           smb2.CtlCode = 0x000900A8
	FsctlDeleteReparsePoint        smb2.CtlCode = 0x000900AC
	FsctlCreateOrGetObjectID       smb2.CtlCode = 0x000900C0
	FsctlSetObjectID               smb2.CtlCode = 0x00090098
	FsctlGetObjectID               smb2.CtlCode = 0x0009009C
	FsctlDeleteObjectID            smb2.CtlCode = 0x000900A0
	FsctlSetSparse                 smb2.CtlCode = 0x000900C4
	FsctlSetZeroData               smb2.CtlCode = 0x000980C8
	FsctlQueryAllocatedRanges      smb2.CtlCode = 0x000940CF
	FsctlFileLevelTrim             smb2.CtlCode = 0x00098208
	FsctlDuplicateExtentsToFile    smb2.CtlCode = 0x00098344
	FsctlGetCompression            smb2.CtlCode = 0x0009003C
	FsctlSetCompression            smb2.CtlCode = 0x0009C040
	FsctlGetNTFSVolumeData         smb2.CtlCode = 0x00090064
	FsctlIsPathnameValid           smb2.CtlCode = 0x0009002C
	FsctlGetIntegrityInformation   smb2.CtlCode = 0x0009027C
	FsctlSetIntegrityInformation   smb2.CtlCode = 0x0009C280
	FsctlQueryFileRegions          smb2.CtlCode = 0x00090284
	FsctlOffloadRead               smb2.CtlCode = 0x00094264
	FsctlOffloadWrite              smb2.CtlCode = 0x00098268
	FsctlPipePeek                  smb2.CtlCode = 0x0011400C
	FsctlPipeWait                  smb2.CtlCode = 0x00110018
	FsctlPipeTransceive            smb2.CtlCode = 0x0011C017
	FsctlSrvRequestResumeKey       smb2.CtlCode = 0x00140078
	FsctlSrvEnumerateSnapshots     smb2.CtlCode = 0x00144064
	FsctlSrvCopyChunk              smb2.CtlCode = 0x001440F2
	FsctlSrvCopyChunkWrite         smb2.CtlCode = 0x001480F2
	FsctlSrvReadHash               smb2.CtlCode = 0x001441BB
	FsctlLMRRequestResiliency      smb2.CtlCode = 0x001401D4
	FsctlQueryNetworkInterfaceInfo smb2.CtlCode = 0x001401FC
	FsctlValidateNegotiateInfo     smb2.CtlCode = 0x00140204
)

// Reparse tags, [MS-FSCC] 2.1.2.1.
const (
	ReparseTagSymlink uint32 = 0xA000000C
	ReparseTagNFS     uint32 = 0x80000014
)
