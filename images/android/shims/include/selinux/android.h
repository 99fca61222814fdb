/* SPDX-License-Identifier: Apache-2.0 */
/* What servicemanager uses of Android's libselinux, for a system without an Android policy: every service has the
 * same label and everything is allowed. Which context a caller has still comes from the binder driver. */
#pragma once
#include <cstdlib>
#include <cstring>
#include <sys/types.h>

struct selabel_handle {
	int unused;
};
typedef unsigned short security_class_t;

union selinux_callback {
	int (*func_log)(int type, const char *fmt, ...);
	int (*func_audit)(void *data, security_class_t cls, char *buf, size_t len);
};

enum { SELINUX_CB_LOG, SELINUX_CB_AUDIT };
enum { SELABEL_CTX_ANDROID_SERVICE = 4 };

static inline int selinux_log_callback(int, const char *, ...) { return 0; }
static inline int selinux_vendor_log_callback(int, const char *, ...) { return 0; }
static inline void selinux_set_callback(int, union selinux_callback) {}
static inline int selinux_status_open(int) { return 0; }
static inline int selinux_status_updated() { return 0; }

static inline struct selabel_handle *selinux_android_service_context_handle() {
	static struct selabel_handle handle;
	return &handle;
}
static inline struct selabel_handle *selinux_android_vendor_service_context_handle() {
	return selinux_android_service_context_handle();
}
static inline void selabel_close(struct selabel_handle *) {}

static inline int selinux_give_label(char **label) {
	*label = strdup("u:object_r:default_android_service:s0");
	return *label ? 0 : -1;
}
static inline int selabel_lookup(struct selabel_handle *, char **label, const char *, int) {
	return selinux_give_label(label);
}
static inline int getcon(char **label) { return selinux_give_label(label); }
static inline int getpidcon(pid_t, char **label) { return selinux_give_label(label); }
static inline void freecon(char *label) { free(label); }

static inline int selinux_check_access(const char *, const char *, const char *, const char *, void *) { return 0; }
