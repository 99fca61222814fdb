// SPDX-License-Identifier: Apache-2.0
/*
 * gbinder-service [-d DEVICE] NAME [INTERFACE]: a service on libgbinder, for demonstrations and tests.
 *
 * Says "registered NAME pid N" once servicemanager has it, and serves until it is killed:
 *	code 1	replies with no exception and the string "hello from NAME"
 *	code 2	replies with no exception and how many bytes of arguments it was sent
 *	code 3	replies with no exception, the sender's pid and its uid, as the driver stated them
 *	code 4	replies with no exception and the hidl_string it was sent: a buffer whose pointer the driver patches
 */
#include <gbinder.h>
#include <glib.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static GBinderLocalReply *transact(GBinderLocalObject *obj, GBinderRemoteRequest *req, guint code, guint flags,
				   int *status, void *name)
{
	GBinderLocalReply *reply;
	GBinderReader reader;

	printf("call: code %u from pid %d uid %d%s\n", code, (int)gbinder_remote_request_sender_pid(req),
	       (int)gbinder_remote_request_sender_euid(req), flags & GBINDER_TX_FLAG_ONEWAY ? " oneway" : "");
	*status = GBINDER_STATUS_OK;
	if (flags & GBINDER_TX_FLAG_ONEWAY)
		return NULL;
	reply = gbinder_local_object_new_reply(obj);
	gbinder_local_reply_append_int32(reply, 0);
	switch (code) {
	case 1: {
		char *hello = g_strconcat("hello from ", name, NULL);

		gbinder_local_reply_append_string16(reply, hello);
		g_free(hello);
		return reply;
	}
	case 2:
		gbinder_remote_request_init_reader(req, &reader);
		gbinder_local_reply_append_int32(reply, gbinder_reader_bytes_remaining(&reader));
		return reply;
	case 3:
		gbinder_local_reply_append_int32(reply, gbinder_remote_request_sender_pid(req));
		gbinder_local_reply_append_int32(reply, gbinder_remote_request_sender_euid(req));
		return reply;
	case 4: {
		char *text;

		gbinder_remote_request_init_reader(req, &reader);
		text = gbinder_reader_read_hidl_string(&reader);
		if (!text)
			break;
		gbinder_local_reply_cleanup(reply, g_free, text);
		gbinder_local_reply_append_hidl_string(reply, text);
		return reply;
	}
	}
	gbinder_local_reply_unref(reply);
	*status = GBINDER_STATUS_FAILED;
	return NULL;
}

int main(int argc, char **argv)
{
	const char *device = "/dev/binder", *iface = "virtbinder.IDemo";
	GBinderServiceManager *sm;
	GBinderLocalObject *obj;
	int opt, status;

	while ((opt = getopt(argc, argv, "d:")) != -1) {
		if (opt != 'd')
			return 2;
		device = optarg;
	}
	if (optind == argc || argc - optind > 2) {
		fprintf(stderr, "usage: gbinder-service [-d DEVICE] NAME [INTERFACE]\n");
		return 2;
	}
	if (argc - optind == 2)
		iface = argv[optind + 1];
	setlinebuf(stdout);
	sm = gbinder_servicemanager_new(device);
	if (!sm || !gbinder_servicemanager_wait(sm, 10000)) {
		fprintf(stderr, "gbinder-service: no servicemanager on %s\n", device);
		return 1;
	}
	obj = gbinder_servicemanager_new_local_object(sm, iface, transact, argv[optind]);
	status = gbinder_servicemanager_add_service_sync(sm, argv[optind], obj);
	if (status != GBINDER_STATUS_OK) {
		fprintf(stderr, "gbinder-service: registering %s failed: status %d\n", argv[optind], status);
		return 1;
	}
	printf("registered %s pid %d\n", argv[optind], (int)getpid());
	g_main_loop_run(g_main_loop_new(NULL, FALSE));
	return 0;
}
