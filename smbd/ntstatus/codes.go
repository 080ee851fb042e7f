package ntstatus

// Status codes, [MS-ERREF] 2.3.1.
const (
	Success                          Status = 0x00000000
	Pending                          Status = 0x00000103
	OplockBreakInProgress            Status = 0x00000108
	NotifyCleanup                    Status = 0x0000010B
	NotifyEnumDir                    Status = 0x0000010C
	BufferOverflow                   Status = 0x80000005
	NoMoreFiles                      Status = 0x80000006
	NoMoreEAs                        Status = 0x80000012
	InvalidEAName                    Status = 0x80000013
	EAListInconsistent               Status = 0x80000014
	StoppedOnSymlink                 Status = 0x8000002D
	Unsuccessful                     Status = 0xC0000001
	NotImplemented                   Status = 0xC0000002
	InvalidInfoClass                 Status = 0xC0000003
	InfoLengthMismatch               Status = 0xC0000004
	InvalidHandle                    Status = 0xC0000008
	InvalidParameter                 Status = 0xC000000D
	NoSuchDevice                     Status = 0xC000000E
	NoSuchFile                       Status = 0xC000000F
	InvalidDeviceRequest             Status = 0xC0000010
	EndOfFile                        Status = 0xC0000011
	MoreProcessingRequired           Status = 0xC0000016
	NoMemory                         Status = 0xC0000017
	InvalidViewSize                  Status = 0xC000001F
	AccessDenied                     Status = 0xC0000022
	BufferTooSmall                   Status = 0xC0000023
	ObjectTypeMismatch               Status = 0xC0000024
	InvalidUserBuffer                Status = 0xC00000E8
	ObjectNameInvalid                Status = 0xC0000033
	ObjectNameNotFound               Status = 0xC0000034
	ObjectNameCollision              Status = 0xC0000035
	PortDisconnected                 Status = 0xC0000037
	ObjectPathInvalid                Status = 0xC0000039
	ObjectPathNotFound               Status = 0xC000003A
	ObjectPathSyntaxBad              Status = 0xC000003B
	DataError                        Status = 0xC000003E
	SharingViolation                 Status = 0xC0000043
	QuotaExceeded                    Status = 0xC0000044
	EasNotSupported                  Status = 0xC000004F
	EATooLarge                       Status = 0xC0000050
	NonexistentEAEntry               Status = 0xC0000051
	NoEAsOnFile                      Status = 0xC0000052
	EACorruptError                   Status = 0xC0000053
	FileLockConflict                 Status = 0xC0000054
	LockNotGranted                   Status = 0xC0000055
	DeletePending                    Status = 0xC0000056
	InvalidOwner                     Status = 0xC000005A
	InvalidPrimaryGroup              Status = 0xC000005B
	NoSuchLogonSession               Status = 0xC000005F
	PrivilegeNotHeld                 Status = 0xC0000061
	NoSuchUser                       Status = 0xC0000064
	WrongPassword                    Status = 0xC000006A
	LogonFailure                     Status = 0xC000006D
	AccountRestriction               Status = 0xC000006E
	PasswordExpired                  Status = 0xC0000071
	AccountDisabled                  Status = 0xC0000072
	InvalidACL                       Status = 0xC0000077
	InvalidSID                       Status = 0xC0000078
	InvalidSecurityDescr             Status = 0xC0000079
	RangeNotLocked                   Status = 0xC000007E
	AllottedSpaceExceeded            Status = 0xC0000099
	DiskFull                         Status = 0xC000007F
	InsufficientResources            Status = 0xC000009A
	MediaWriteProtected              Status = 0xC00000A2
	BadImpersonationLevel            Status = 0xC00000A5
	PipeNotAvailable                 Status = 0xC00000AC
	InvalidPipeState                 Status = 0xC00000AD
	PipeBusy                         Status = 0xC00000AE
	PipeDisconnected                 Status = 0xC00000B0
	PipeClosing                      Status = 0xC00000B1
	IoTimeout                        Status = 0xC00000B5
	FileForcedClosed                 Status = 0xC00000B6
	FileIsADirectory                 Status = 0xC00000BA
	NotSupported                     Status = 0xC00000BB
	BadNetworkPath                   Status = 0xC00000BE
	NetworkBusy                      Status = 0xC00000BF
	InvalidNetworkResponse           Status = 0xC00000C3
	UnexpectedNetworkError           Status = 0xC00000C4
	NetworkNameDeleted               Status = 0xC00000C9
	NetworkAccessDenied              Status = 0xC00000CA
	BadDeviceType                    Status = 0xC00000CB
	BadNetworkName                   Status = 0xC00000CC
	TooManySessions                  Status = 0xC00000CE
	RequestNotAccepted               Status = 0xC00000D0
	NotSameDevice                    Status = 0xC00000D4
	PipeEmpty                        Status = 0xC00000D9
	OplockNotGranted                 Status = 0xC00000E2
	InvalidOplockProtocol            Status = 0xC00000E3
	InternalError                    Status = 0xC00000E5
	UnexpectedIOError                Status = 0xC00000E9
	DirectoryNotEmpty                Status = 0xC0000101
	NotADirectory                    Status = 0xC0000103
	NameTooLong                      Status = 0xC0000106
	TooManyOpenedFiles               Status = 0xC000011F
	Cancelled                        Status = 0xC0000120
	CannotDelete                     Status = 0xC0000121
	FileDeleted                      Status = 0xC0000123
	FileClosed                       Status = 0xC0000128
	InvalidLevel                     Status = 0xC0000148
	PipeBroken                       Status = 0xC000014B
	LogonTypeNotGranted              Status = 0xC000015B
	PossibleDeadlock                 Status = 0xC0000194
	FsDriverRequired                 Status = 0xC000019C
	InvalidLockRange                 Status = 0xC00001A1
	UserSessionDeleted               Status = 0xC0000203
	ConnectionDisconnected           Status = 0xC000020C
	ConnectionReset                  Status = 0xC000020D
	NotFound                         Status = 0xC0000225
	DuplicateObjectID                Status = 0xC000022A
	Retry                            Status = 0xC000022D
	UserMappedFile                   Status = 0xC0000243
	PathNotCovered                   Status = 0xC0000257
	TooManyLinks                     Status = 0xC0000265
	VolumeDismounted                 Status = 0xC000026E
	NotAReparsePoint                 Status = 0xC0000275
	IOReparseTagInvalid              Status = 0xC0000276
	IOReparseTagNotHandled           Status = 0xC0000279
	ReparsePointNotResolved          Status = 0xC0000280
	ObjectIDNotFound                 Status = 0xC00002F0
	NetworkSessionExpired            Status = 0xC000035C
	DowngradeDetected                Status = 0xC0000388
	FileSystemLimitation             Status = 0xC0000427
	RequestOutOfSequence             Status = 0xC000042A
	ServerUnavailable                Status = 0xC0000466
	FileNotAvailable                 Status = 0xC0000467
	ShareUnavailable                 Status = 0xC0000480
	CannotBreakOplock                Status = 0xC0000909
	InvalidSignature                 Status = 0xC000A000
	HashNotSupported                 Status = 0xC000A100
	SMBNoPreauthIntegrityHashOverlap Status = 0xC05D0000
	SMBBadClusterDialect             Status = 0xC05D0001
	SMBGuestLogonBlocked             Status = 0xC05D0002
)

var names = map[Status]string{
	Success:                          "STATUS_SUCCESS",
	Pending:                          "STATUS_PENDING",
	OplockBreakInProgress:            "STATUS_OPLOCK_BREAK_IN_PROGRESS",
	NotifyCleanup:                    "STATUS_NOTIFY_CLEANUP",
	NotifyEnumDir:                    "STATUS_NOTIFY_ENUM_DIR",
	BufferOverflow:                   "STATUS_BUFFER_OVERFLOW",
	NoMoreFiles:                      "STATUS_NO_MORE_FILES",
	NoMoreEAs:                        "STATUS_NO_MORE_EAS",
	InvalidEAName:                    "STATUS_INVALID_EA_NAME",
	EAListInconsistent:               "STATUS_EA_LIST_INCONSISTENT",
	StoppedOnSymlink:                 "STATUS_STOPPED_ON_SYMLINK",
	Unsuccessful:                     "STATUS_UNSUCCESSFUL",
	NotImplemented:                   "STATUS_NOT_IMPLEMENTED",
	InvalidInfoClass:                 "STATUS_INVALID_INFO_CLASS",
	InfoLengthMismatch:               "STATUS_INFO_LENGTH_MISMATCH",
	InvalidHandle:                    "STATUS_INVALID_HANDLE",
	InvalidParameter:                 "STATUS_INVALID_PARAMETER",
	NoSuchDevice:                     "STATUS_NO_SUCH_DEVICE",
	NoSuchFile:                       "STATUS_NO_SUCH_FILE",
	InvalidDeviceRequest:             "STATUS_INVALID_DEVICE_REQUEST",
	EndOfFile:                        "STATUS_END_OF_FILE",
	MoreProcessingRequired:           "STATUS_MORE_PROCESSING_REQUIRED",
	NoMemory:                         "STATUS_NO_MEMORY",
	AccessDenied:                     "STATUS_ACCESS_DENIED",
	BufferTooSmall:                   "STATUS_BUFFER_TOO_SMALL",
	AllottedSpaceExceeded:            "STATUS_ALLOTTED_SPACE_EXCEEDED",
	InvalidUserBuffer:                "STATUS_INVALID_USER_BUFFER",
	InvalidViewSize:                  "STATUS_INVALID_VIEW_SIZE",
	ObjectTypeMismatch:               "STATUS_OBJECT_TYPE_MISMATCH",
	ObjectNameInvalid:                "STATUS_OBJECT_NAME_INVALID",
	ObjectNameNotFound:               "STATUS_OBJECT_NAME_NOT_FOUND",
	ObjectNameCollision:              "STATUS_OBJECT_NAME_COLLISION",
	PortDisconnected:                 "STATUS_PORT_DISCONNECTED",
	ObjectPathInvalid:                "STATUS_OBJECT_PATH_INVALID",
	ObjectPathNotFound:               "STATUS_OBJECT_PATH_NOT_FOUND",
	ObjectPathSyntaxBad:              "STATUS_OBJECT_PATH_SYNTAX_BAD",
	DataError:                        "STATUS_DATA_ERROR",
	SharingViolation:                 "STATUS_SHARING_VIOLATION",
	QuotaExceeded:                    "STATUS_QUOTA_EXCEEDED",
	EasNotSupported:                  "STATUS_EAS_NOT_SUPPORTED",
	EATooLarge:                       "STATUS_EA_TOO_LARGE",
	NonexistentEAEntry:               "STATUS_NONEXISTENT_EA_ENTRY",
	NoEAsOnFile:                      "STATUS_NO_EAS_ON_FILE",
	EACorruptError:                   "STATUS_EA_CORRUPT_ERROR",
	FileLockConflict:                 "STATUS_FILE_LOCK_CONFLICT",
	LockNotGranted:                   "STATUS_LOCK_NOT_GRANTED",
	DeletePending:                    "STATUS_DELETE_PENDING",
	InvalidOwner:                     "STATUS_INVALID_OWNER",
	InvalidPrimaryGroup:              "STATUS_INVALID_PRIMARY_GROUP",
	NoSuchLogonSession:               "STATUS_NO_SUCH_LOGON_SESSION",
	PrivilegeNotHeld:                 "STATUS_PRIVILEGE_NOT_HELD",
	NoSuchUser:                       "STATUS_NO_SUCH_USER",
	WrongPassword:                    "STATUS_WRONG_PASSWORD",
	LogonFailure:                     "STATUS_LOGON_FAILURE",
	AccountRestriction:               "STATUS_ACCOUNT_RESTRICTION",
	PasswordExpired:                  "STATUS_PASSWORD_EXPIRED",
	AccountDisabled:                  "STATUS_ACCOUNT_DISABLED",
	InvalidACL:                       "STATUS_INVALID_ACL",
	InvalidSID:                       "STATUS_INVALID_SID",
	InvalidSecurityDescr:             "STATUS_INVALID_SECURITY_DESCR",
	RangeNotLocked:                   "STATUS_RANGE_NOT_LOCKED",
	DiskFull:                         "STATUS_DISK_FULL",
	InsufficientResources:            "STATUS_INSUFFICIENT_RESOURCES",
	MediaWriteProtected:              "STATUS_MEDIA_WRITE_PROTECTED",
	BadImpersonationLevel:            "STATUS_BAD_IMPERSONATION_LEVEL",
	PipeNotAvailable:                 "STATUS_PIPE_NOT_AVAILABLE",
	InvalidPipeState:                 "STATUS_INVALID_PIPE_STATE",
	PipeBusy:                         "STATUS_PIPE_BUSY",
	PipeEmpty:                        "STATUS_PIPE_EMPTY",
	PipeDisconnected:                 "STATUS_PIPE_DISCONNECTED",
	PipeClosing:                      "STATUS_PIPE_CLOSING",
	IoTimeout:                        "STATUS_IO_TIMEOUT",
	FileForcedClosed:                 "STATUS_FILE_FORCED_CLOSED",
	FileIsADirectory:                 "STATUS_FILE_IS_A_DIRECTORY",
	NotSupported:                     "STATUS_NOT_SUPPORTED",
	BadNetworkPath:                   "STATUS_BAD_NETWORK_PATH",
	NetworkBusy:                      "STATUS_NETWORK_BUSY",
	InvalidNetworkResponse:           "STATUS_INVALID_NETWORK_RESPONSE",
	UnexpectedNetworkError:           "STATUS_UNEXPECTED_NETWORK_ERROR",
	NetworkNameDeleted:               "STATUS_NETWORK_NAME_DELETED",
	NetworkAccessDenied:              "STATUS_NETWORK_ACCESS_DENIED",
	BadDeviceType:                    "STATUS_BAD_DEVICE_TYPE",
	BadNetworkName:                   "STATUS_BAD_NETWORK_NAME",
	TooManySessions:                  "STATUS_TOO_MANY_SESSIONS",
	RequestNotAccepted:               "STATUS_REQUEST_NOT_ACCEPTED",
	NotSameDevice:                    "STATUS_NOT_SAME_DEVICE",
	OplockNotGranted:                 "STATUS_OPLOCK_NOT_GRANTED",
	InvalidOplockProtocol:            "STATUS_INVALID_OPLOCK_PROTOCOL",
	InternalError:                    "STATUS_INTERNAL_ERROR",
	UnexpectedIOError:                "STATUS_UNEXPECTED_IO_ERROR",
	DirectoryNotEmpty:                "STATUS_DIRECTORY_NOT_EMPTY",
	NotADirectory:                    "STATUS_NOT_A_DIRECTORY",
	NameTooLong:                      "STATUS_NAME_TOO_LONG",
	TooManyOpenedFiles:               "STATUS_TOO_MANY_OPENED_FILES",
	Cancelled:                        "STATUS_CANCELLED",
	CannotDelete:                     "STATUS_CANNOT_DELETE",
	FileDeleted:                      "STATUS_FILE_DELETED",
	FileClosed:                       "STATUS_FILE_CLOSED",
	InvalidLevel:                     "STATUS_INVALID_LEVEL",
	PipeBroken:                       "STATUS_PIPE_BROKEN",
	LogonTypeNotGranted:              "STATUS_LOGON_TYPE_NOT_GRANTED",
	PossibleDeadlock:                 "STATUS_POSSIBLE_DEADLOCK",
	FsDriverRequired:                 "STATUS_FS_DRIVER_REQUIRED",
	InvalidLockRange:                 "STATUS_INVALID_LOCK_RANGE",
	UserSessionDeleted:               "STATUS_USER_SESSION_DELETED",
	ConnectionDisconnected:           "STATUS_CONNECTION_DISCONNECTED",
	ConnectionReset:                  "STATUS_CONNECTION_RESET",
	NotFound:                         "STATUS_NOT_FOUND",
	DuplicateObjectID:                "STATUS_DUPLICATE_OBJECTID",
	Retry:                            "STATUS_RETRY",
	UserMappedFile:                   "STATUS_USER_MAPPED_FILE",
	PathNotCovered:                   "STATUS_PATH_NOT_COVERED",
	TooManyLinks:                     "STATUS_TOO_MANY_LINKS",
	VolumeDismounted:                 "STATUS_VOLUME_DISMOUNTED",
	NotAReparsePoint:                 "STATUS_NOT_A_REPARSE_POINT",
	IOReparseTagInvalid:              "STATUS_IO_REPARSE_TAG_INVALID",
	IOReparseTagNotHandled:           "STATUS_IO_REPARSE_TAG_NOT_HANDLED",
	ReparsePointNotResolved:          "STATUS_REPARSE_POINT_NOT_RESOLVED",
	ObjectIDNotFound:                 "STATUS_OBJECTID_NOT_FOUND",
	NetworkSessionExpired:            "STATUS_NETWORK_SESSION_EXPIRED",
	DowngradeDetected:                "STATUS_DOWNGRADE_DETECTED",
	FileSystemLimitation:             "STATUS_FILE_SYSTEM_LIMITATION",
	RequestOutOfSequence:             "STATUS_REQUEST_OUT_OF_SEQUENCE",
	ServerUnavailable:                "STATUS_SERVER_UNAVAILABLE",
	FileNotAvailable:                 "STATUS_FILE_NOT_AVAILABLE",
	ShareUnavailable:                 "STATUS_SHARE_UNAVAILABLE",
	CannotBreakOplock:                "STATUS_CANNOT_BREAK_OPLOCK",
	InvalidSignature:                 "STATUS_INVALID_SIGNATURE",
	HashNotSupported:                 "STATUS_HASH_NOT_SUPPORTED",
	SMBNoPreauthIntegrityHashOverlap: "STATUS_SMB_NO_PREAUTH_INTEGRITY_HASH_OVERLAP",
	SMBBadClusterDialect:             "STATUS_SMB_BAD_CLUSTER_DIALECT",
	SMBGuestLogonBlocked:             "STATUS_SMB_GUEST_LOGON_BLOCKED",
}
