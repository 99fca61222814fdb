// SPDX-License-Identifier: Apache-2.0

// Package uapi is Android's binder ABI (protocol version 8, 64-bit) as Linux's
// include/uapi/linux/android/binder.h fixes it. The kernel's names are kept, so
// that a search joins the kernel's sources and ours.
package uapi

// ProtocolVersion is what BINDER_VERSION answers.
const ProtocolVersion = 8

// Sizes of the structures that travel, in bytes.
const (
	SizeTransactionData   = 64 // binder_transaction_data
	SizeTransactionDataSG = 72 // binder_transaction_data_sg
	SizeTransactionSecctx = 72 // binder_transaction_data_secctx
	SizeFlatBinderObject  = 24 // flat_binder_object
	SizeFDObject          = 24 // binder_fd_object
	SizeBufferObject      = 40 // binder_buffer_object (PTR)
	SizeFDArrayObject     = 32 // binder_fd_array_object (FDA)
	SizeHandleCookie      = 12 // binder_handle_cookie, packed
	SizePtrCookie         = 16 // binder_ptr_cookie
	SizeMaxObject         = SizeBufferObject
)

// BC_ commands: user to driver.
const (
	BC_TRANSACTION                 = 0x40406300
	BC_REPLY                       = 0x40406301
	BC_ACQUIRE_RESULT              = 0x40046302
	BC_FREE_BUFFER                 = 0x40086303
	BC_INCREFS                     = 0x40046304
	BC_ACQUIRE                     = 0x40046305
	BC_RELEASE                     = 0x40046306
	BC_DECREFS                     = 0x40046307
	BC_INCREFS_DONE                = 0x40106308
	BC_ACQUIRE_DONE                = 0x40106309
	BC_ATTEMPT_ACQUIRE             = 0x4008630a
	BC_REGISTER_LOOPER             = 0x0000630b
	BC_ENTER_LOOPER                = 0x0000630c
	BC_EXIT_LOOPER                 = 0x0000630d
	BC_REQUEST_DEATH_NOTIFICATION  = 0x400c630e
	BC_CLEAR_DEATH_NOTIFICATION    = 0x400c630f
	BC_DEAD_BINDER_DONE            = 0x40086310
	BC_TRANSACTION_SG              = 0x40486311
	BC_REPLY_SG                    = 0x40486312
	BC_REQUEST_FREEZE_NOTIFICATION = 0x400c6313
	BC_CLEAR_FREEZE_NOTIFICATION   = 0x400c6314
	BC_FREEZE_NOTIFICATION_DONE    = 0x40086315
)

// BR_ returns: driver to user. The first, BR_ERROR, carries an s32.
const (
	BR_ERROR                          = 0x80047200
	BR_OK                             = 0x00007201
	BR_TRANSACTION                    = 0x80407202
	BR_TRANSACTION_SEC_CTX            = 0x80487202
	BR_REPLY                          = 0x80407203
	BR_ACQUIRE_RESULT                 = 0x80047204
	BR_DEAD_REPLY                     = 0x00007205
	BR_TRANSACTION_COMPLETE           = 0x00007206
	BR_INCREFS                        = 0x80107207
	BR_ACQUIRE                        = 0x80107208
	BR_RELEASE                        = 0x80107209
	BR_DECREFS                        = 0x8010720a
	BR_ATTEMPT_ACQUIRE                = 0x8018720b
	BR_NOOP                           = 0x0000720c
	BR_SPAWN_LOOPER                   = 0x0000720d
	BR_FINISHED                       = 0x0000720e
	BR_DEAD_BINDER                    = 0x8008720f
	BR_CLEAR_DEATH_NOTIFICATION_DONE  = 0x80087210
	BR_FAILED_REPLY                   = 0x00007211
	BR_FROZEN_REPLY                   = 0x00007212
	BR_ONEWAY_SPAM_SUSPECT            = 0x00007213
	BR_TRANSACTION_PENDING_FROZEN     = 0x00007214
	BR_FROZEN_BINDER                  = 0x80107215
	BR_CLEAR_FREEZE_NOTIFICATION_DONE = 0x80087216
)

// ioctl numbers.
const (
	BINDER_WRITE_READ                   = 0xc0306201
	BINDER_SET_IDLE_TIMEOUT             = 0x40086203
	BINDER_SET_MAX_THREADS              = 0x40046205
	BINDER_SET_IDLE_PRIORITY            = 0x40046206
	BINDER_SET_CONTEXT_MGR              = 0x40046207
	BINDER_THREAD_EXIT                  = 0x40046208
	BINDER_VERSION                      = 0xc0046209
	BINDER_GET_NODE_DEBUG_INFO          = 0xc018620b
	BINDER_GET_NODE_INFO_FOR_REF        = 0xc018620c
	BINDER_SET_CONTEXT_MGR_EXT          = 0x4018620d
	BINDER_FREEZE                       = 0x400c620e
	BINDER_GET_FROZEN_INFO              = 0xc00c620f
	BINDER_ENABLE_ONEWAY_SPAM_DETECTION = 0x40046210
	BINDER_GET_EXTENDED_ERROR           = 0xc00c6211
)

// Transaction flags.
const (
	TF_ONE_WAY     = 0x01
	TF_ROOT_OBJECT = 0x04
	TF_STATUS_CODE = 0x08
	TF_ACCEPT_FDS  = 0x10
	TF_CLEAR_BUF   = 0x20
	TF_UPDATE_TXN  = 0x40
)

// Flags of flat_binder_object and binder_buffer_object.
const (
	FLAT_BINDER_FLAG_PRIORITY_MASK    = 0xff
	FLAT_BINDER_FLAG_ACCEPTS_FDS      = 0x100
	FLAT_BINDER_FLAG_TXN_SECURITY_CTX = 0x1000
	BINDER_BUFFER_FLAG_HAS_PARENT     = 0x01
)

// Object types.
const (
	BINDER_TYPE_BINDER      = 0x73622a85
	BINDER_TYPE_WEAK_BINDER = 0x77622a85
	BINDER_TYPE_HANDLE      = 0x73682a85
	BINDER_TYPE_WEAK_HANDLE = 0x77682a85
	BINDER_TYPE_FD          = 0x66642a85
	BINDER_TYPE_FDA         = 0x66646185
	BINDER_TYPE_PTR         = 0x70742a85
)
