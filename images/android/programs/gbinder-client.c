// SPDX-License-Identifier: Apache-2.0
/*
 * gbinder-client [-d DEVICE] [-l] NAME: a client on libgbinder, for demonstrations and tests.
 *
 * Takes a handle of the service and says "holding NAME". With -l it also takes a death link and says "obituary NAME"
 * when the notice comes. Then it obeys its standard input, a command a line:
 *	call CODE	calls with no arguments
 *	call CODE SIZE	calls with SIZE bytes of arguments
 *	quit		(or end of input) ends
 * and answers each call with "CODE: ok BYTES" (BYTES of reply), "CODE: dead" for BR_DEAD_REPLY, "CODE: failed" for
 * BR_FAILED_REPLY, "CODE: refused" where libgbinder does not call because it knows that the service is dead (it links
 * every handle to death, also without -l), or "CODE: status N" for the service's own error.
 */
#include <gbinder.h>
#include <glib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static GBinderClient *client;
static GMainLoop *loop;

static void died(GBinderRemoteObject *obj, void *name)
{
	printf("obituary %s\n", (char *)name);
}

static void call(unsigned code, size_t size)
{
	GBinderLocalRequest *req = gbinder_client_new_request(client);
	GBinderRemoteReply *reply;
	GBinderReader reader;
	int status = 0;

	for (size_t i = 0; i + 8 <= size; i += 8)
		gbinder_local_request_append_int64(req, i);
	reply = gbinder_client_transact_sync_reply(client, code, req, &status);
	if (status == GBINDER_STATUS_DEAD_OBJECT) {
		printf("%u: dead\n", code);
	} else if (status == GBINDER_STATUS_FAILED) {
		printf("%u: failed\n", code);
	} else if (status == GBINDER_STATUS_OK && !reply) {
		printf("%u: refused\n", code);
	} else if (status != GBINDER_STATUS_OK) {
		printf("%u: status %d\n", code, status);
	} else {
		gbinder_remote_reply_init_reader(reply, &reader);
		printf("%u: ok %zu\n", code, (size_t)gbinder_reader_bytes_remaining(&reader));
	}
	gbinder_remote_reply_unref(reply);
	gbinder_local_request_unref(req);
}

static gboolean command(GIOChannel *in, GIOCondition condition, gpointer unused)
{
	char *line = NULL;
	unsigned code;
	size_t size = 0;

	if (g_io_channel_read_line(in, &line, NULL, NULL, NULL) != G_IO_STATUS_NORMAL || !strncmp(line, "quit", 4)) {
		g_main_loop_quit(loop);
		g_free(line);
		return FALSE;
	}
	if (sscanf(line, "call %u %zu", &code, &size) >= 1)
		call(code, size);
	else
		printf("not a command: %s", line);
	g_free(line);
	return TRUE;
}

int main(int argc, char **argv)
{
	const char *device = "/dev/binder", *name;
	GBinderServiceManager *sm;
	GBinderRemoteObject *obj;
	int opt, status = 0, link = 0;

	while ((opt = getopt(argc, argv, "d:l")) != -1) {
		switch (opt) {
		case 'd':
			device = optarg;
			break;
		case 'l':
			link = 1;
			break;
		default:
			return 2;
		}
	}
	if (argc - optind != 1) {
		fprintf(stderr, "usage: gbinder-client [-d DEVICE] [-l] NAME\n");
		return 2;
	}
	name = argv[optind];
	setlinebuf(stdout);
	sm = gbinder_servicemanager_new(device);
	if (!sm || !gbinder_servicemanager_wait(sm, 10000)) {
		fprintf(stderr, "gbinder-client: no servicemanager on %s\n", device);
		return 1;
	}
	obj = gbinder_servicemanager_get_service_sync(sm, name, &status);
	if (!obj) {
		fprintf(stderr, "gbinder-client: servicemanager does not know %s (status %d)\n", name, status);
		return 1;
	}
	client = gbinder_client_new(gbinder_remote_object_ref(obj), "virtbinder.IDemo");
	if (link)
		gbinder_remote_object_add_death_handler(obj, died, (void *)name);
	printf("holding %s pid %d\n", name, (int)getpid());
	loop = g_main_loop_new(NULL, FALSE);
	g_io_add_watch(g_io_channel_unix_new(0), G_IO_IN | G_IO_HUP, command, NULL);
	g_main_loop_run(loop);
	return 0;
}
