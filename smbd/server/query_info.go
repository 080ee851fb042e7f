package server

import (
	"context"
	"strings"

	"golang.org/x/sys/unix"

	"dittofs/smbd/fscc"
	"dittofs/smbd/ntstatus"
	"dittofs/smbd/smb2"
	"dittofs/smbd/wire"
)

// QUERY_INFO, [MS-SMB2] 3.3.5.20, [MS-FSA] 2.1.5.12 to 2.1.5.14.

func queryInfo(ctx context.Context, r *request) (reply, error) {
	var q smb2.QueryInfoRequest
	if err := parse(&q, r); err != nil {
		return nil, err
	}
	if q.OutputBufferLength > r.chain.c.maxTransfer {
		return nil, ntstatus.InvalidParameter
	}
	o, err := r.open(q.FileID)
	if err != nil {
		return nil, err
	}
	var b []byte
	least := 0
	switch q.InfoType {
	case smb2.InfoFile:
		class := fscc.FileClass(q.FileInfoClass)
		least = class.Least()
		switch {
		case o.pipe != nil:
			b, err = pipeInfo(o, class)
		case class == fscc.FileFullEa:
			return queryEAs(o, &q)
		case class == fscc.FileNormalizedName && r.chain.c.dialect < smb2.Dialect311:
			err = ntstatus.NotSupported // [MS-SMB2] 3.3.5.20.1
		default:
			b, err = fileInfo(o, class)
		}
	case smb2.InfoFileSystem:
		class := fscc.FSClass(q.FileInfoClass)
		least = class.Least()
		if b, err = nil, ntstatus.NotSupported; o.pipe == nil {
			b, err = fileSystemInfo(o, class)
		}
	case smb2.InfoSecurity:
		if b, err = nil, ntstatus.NotSupported; o.pipe == nil {
			return querySecurity(o, &q)
		}
	case smb2.InfoQuota:
		err = ntstatus.NotSupported
	default:
		err = ntstatus.InvalidParameter
	}
	if err != nil {
		return nil, err
	}
	b, st := fscc.Fit(b, least, q.OutputBufferLength)
	if st.IsError() {
		return nil, st
	}
	if st != ntstatus.Success {
		return &smb2.QueryInfoResponse{Buffer: b}, st
	}
	return &smb2.QueryInfoResponse{Buffer: b}, nil
}

func basicInfo(i *info) fscc.FileBasicInformation {
	return fscc.FileBasicInformation{CreationTime: wire.FiletimeOf(i.birth), LastAccessTime: wire.FiletimeOf(i.access),
		LastWriteTime: wire.FiletimeOf(i.write), ChangeTime: wire.FiletimeOf(i.change), FileAttributes: i.attributes}
}

func (o *open) standardInfo(i *info) fscc.FileStandardInformation {
	o.mu.Lock()
	defer o.mu.Unlock()
	s := fscc.FileStandardInformation{AllocationSize: i.alloc, EndOfFile: i.size, NumberOfLinks: i.links, DeletePending: o.deleting, Directory: i.isDir()}
	if o.deleting && s.NumberOfLinks > 0 {
		s.NumberOfLinks--
	}
	return s
}

// wirePath is the name as [MS-FSCC] 2.4.32 gives it: from the share's root, with a backslash before it.
func (o *open) wirePath() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	stream := ""
	if o.stream != nil {
		stream = ":" + o.stream.called()
	}
	if o.path == "." || o.path == "" {
		return `\` + stream
	}
	parts := strings.Split(o.path, "/")
	for i, p := range parts {
		parts[i] = wireName(p)
	}
	return `\` + strings.Join(parts, `\`) + stream
}

const readAttributes = smb2.FileReadAttributes

func fileInfo(o *open, class fscc.FileClass) ([]byte, error) {
	switch class {
	case fscc.FileBasic, fscc.FileAll, fscc.FileNetworkOpen, fscc.FileAttributeTag:
		if o.access&readAttributes == 0 {
			return nil, ntstatus.AccessDenied
		}
	}
	i, err := o.stat()
	if err != nil {
		return nil, err
	}
	pos := o.pos.Load()
	mode := fscc.FileModeInformation{Mode: smb2.CreateOptions(o.mode.Load())}
	switch class {
	case fscc.FileBasic:
		b := basicInfo(i)
		return b.Append(nil), nil
	case fscc.FileStandard:
		s := o.standardInfo(i)
		return s.Append(nil), nil
	case fscc.FileInternal:
		return (&fscc.FileInternalInformation{IndexNumber: o.tree.fileID(i)}).Append(nil), nil
	case fscc.FileEa:
		return (&fscc.FileEaInformation{EaSize: eaSize(o.file)}).Append(nil), nil
	case fscc.FileAccess:
		return (&fscc.FileAccessInformation{AccessFlags: o.access}).Append(nil), nil
	case fscc.FileName, fscc.FileNormalizedName:
		name := o.wirePath()
		if class == fscc.FileNormalizedName {
			name = strings.TrimPrefix(name, `\`)
		}
		return (&fscc.FileNameInformation{FileName: name}).Append(nil), nil
	case fscc.FilePosition:
		return (&fscc.FilePositionInformation{CurrentByteOffset: pos}).Append(nil), nil
	case fscc.FileMode:
		return mode.Append(nil), nil
	case fscc.FileAlignment:
		return (&fscc.FileAlignmentInformation{}).Append(nil), nil
	case fscc.FileAll:
		a := fscc.FileAllInformation{Basic: basicInfo(i), Standard: o.standardInfo(i), Internal: fscc.FileInternalInformation{IndexNumber: o.tree.fileID(i)},
			Ea: fscc.FileEaInformation{EaSize: eaSize(o.file)}, Access: fscc.FileAccessInformation{AccessFlags: o.access}, Position: fscc.FilePositionInformation{CurrentByteOffset: pos}, Mode: mode,
			Name: fscc.FileNameInformation{FileName: o.wirePath()}}
		return a.Append(nil), nil
	case fscc.FileStream:
		return o.streamInfo()
	case fscc.FileCompression:
		return (&fscc.FileCompressionInformation{CompressedFileSize: i.alloc}).Append(nil), nil
	case fscc.FileNetworkOpen:
		b := basicInfo(i)
		return (&fscc.FileNetworkOpenInformation{CreationTime: b.CreationTime, LastAccessTime: b.LastAccessTime, LastWriteTime: b.LastWriteTime,
			ChangeTime: b.ChangeTime, AllocationSize: i.alloc, EndOfFile: i.size, FileAttributes: i.attributes}).Append(nil), nil
	case fscc.FileAttributeTag:
		return (&fscc.FileAttributeTagInformation{FileAttributes: i.attributes}).Append(nil), nil
	case fscc.FileID:
		f := fscc.FileIDInformation{VolumeSerialNumber: o.vol.fsid}
		wire.Put64(f.FileID[:], o.tree.fileID(i))
		return f.Append(nil), nil
	case fscc.FileAlternateName:
		name := wireName(o.called())
		if !isShortName(name) {
			return nil, ntstatus.ObjectNameNotFound // no other short names are made
		}
		return (&fscc.FileNameInformation{FileName: name}).Append(nil), nil
	}
	return nil, ntstatus.InvalidInfoClass
}

func pipeInfo(o *open, class fscc.FileClass) ([]byte, error) {
	switch class {
	case fscc.FileStandard:
		return (&fscc.FileStandardInformation{AllocationSize: 4096, NumberOfLinks: 1, DeletePending: true}).Append(nil), nil
	case fscc.FilePipe:
		return (&fscc.FilePipeInformation{ReadMode: 1}).Append(nil), nil
	case fscc.FilePipeLocal:
		return (&fscc.FilePipeLocalInformation{NamedPipeType: 1, NamedPipeConfiguration: 2, MaximumInstances: 0xFFFFFFFF, CurrentInstances: 1,
			ReadDataAvailable: uint32(o.pipe.Available()), NamedPipeState: 3}).Append(nil), nil
	}
	return nil, ntstatus.InvalidInfoClass
}

func fileSystemInfo(o *open, class fscc.FSClass) ([]byte, error) {
	var st unix.Statfs_t
	if err := unix.Fstatfs(int(o.vol.root.Fd()), &st); err != nil {
		return nil, err
	}
	// Units of one sector, so that any block size is told exactly. Free is what the caller may use, as df(1) shows it.
	const sector = 512
	bsize := uint64(st.Frsize)
	if bsize == 0 {
		bsize = uint64(st.Bsize)
	}
	perUnit := uint32(max(bsize/sector, 1))
	switch class {
	case fscc.FSVolume:
		return (&fscc.FSVolumeInformation{VolumeSerialNumber: uint32(o.vol.fsid) ^ uint32(o.vol.fsid>>32), VolumeLabel: o.tree.share.name}).Append(nil), nil
	case fscc.FSSize:
		return (&fscc.FSSizeInformation{TotalAllocationUnits: st.Blocks, AvailableAllocationUnits: st.Bavail, SectorsPerAllocationUnit: perUnit, BytesPerSector: sector}).Append(nil), nil
	case fscc.FSFullSize:
		return (&fscc.FSFullSizeInformation{TotalAllocationUnits: st.Blocks, CallerAvailableAllocationUnits: st.Bavail, ActualAvailableAllocationUnits: st.Bfree,
			SectorsPerAllocationUnit: perUnit, BytesPerSector: sector}).Append(nil), nil
	case fscc.FSDevice:
		d := fscc.FSDeviceInformation{DeviceType: fscc.FileDeviceDisk, Characteristics: fscc.FileDeviceIsMounted}
		if o.tree.share.terms().ReadOnly {
			d.Characteristics |= fscc.FileReadOnlyDevice
		}
		return d.Append(nil), nil
	case fscc.FSAttribute:
		a := fscc.FSAttributeInformation{Attributes: fscc.FileCaseSensitiveSearch | fscc.FileCasePreservedNames | fscc.FileUnicodeOnDisk | fscc.FilePersistentACLs | fscc.FileSupportsSparseFiles |
			fscc.FileSupportsHardLinks | fscc.FileSupportsObjectIDs | fscc.FileSupportsExtendedAttributes, MaximumComponentNameLength: 255, FileSystemName: "NTFS"}
		if o.tree.share.terms().ReadOnly {
			a.Attributes |= fscc.FileReadOnlyVolume
		}
		if o.vol.clones {
			a.Attributes |= fscc.FileSupportsBlockRefcounting
		}
		if !o.tree.share.terms().NoStreams {
			a.Attributes |= fscc.FileNamedStreams
		}
		return a.Append(nil), nil
	case fscc.FSControl: // nobody has a quota
		return (&fscc.FSControlInformation{DefaultQuotaThreshold: ^uint64(0), DefaultQuotaLimit: ^uint64(0)}).Append(nil), nil
	case fscc.FSSectorSize:
		return (&fscc.FSSectorSizeInformation{LogicalBytesPerSector: sector, PhysicalBytesPerSectorForAtomicity: uint32(bsize), PhysicalBytesPerSectorForPerformance: uint32(bsize),
			EffectivePhysicalBytesPerSectorForAtomicity: uint32(bsize), Flags: fscc.SSInfoAlignedDevice | fscc.SSInfoPartitionAlignedOnDevice | fscc.SSInfoTrimEnabled}).Append(nil), nil
	case fscc.FSObjectID:
		var id fscc.FSObjectIDInformation
		wire.Put64(id.ObjectID[:], o.vol.fsid)
		return id.Append(nil), nil
	}
	return nil, ntstatus.InvalidInfoClass
}
