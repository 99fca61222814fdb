// SPDX-License-Identifier: Apache-2.0
/*
 * binder-client [-d DEVICE] [-l] NAME: a client on AOSP's libbinder, for demonstrations and tests.
 *
 * Takes a handle of the service and says "holding NAME pid N". With -l it also takes a death link and says "obituary
 * NAME" when the notice comes; libbinder then refuses further calls by itself. Without, a call after the service's
 * death reaches the driver. It obeys its standard input, a command a line:
 *	call CODE	calls with no arguments
 *	call CODE SIZE	calls with SIZE bytes of arguments
 *	quit		(or end of input) ends
 * and answers each call with "CODE: ok BYTES" (BYTES of reply), "CODE: dead" for BR_DEAD_REPLY, "CODE: failed" for
 * BR_FAILED_REPLY, or "CODE: status N" for any other of libbinder's status codes.
 */
#include <binder/IPCThreadState.h>
#include <binder/IServiceManager.h>
#include <binder/Parcel.h>
#include <binder/ProcessState.h>

using namespace android;

class Obituary : public IBinder::DeathRecipient {
public:
	explicit Obituary(const char *name) : mName(name) {}
	void binderDied(const wp<IBinder> &) override { printf("obituary %s\n", mName); }

private:
	const char *mName;
};

static void call(const sp<IBinder> &service, unsigned code, size_t size)
{
	Parcel data, reply;
	void *bytes = size ? data.writeInplace(size) : nullptr;

	if (bytes)
		memset(bytes, 0x5a, size);
	switch (status_t status = service->transact(code, data, &reply); status) {
	case OK:
		printf("%u: ok %zu\n", code, reply.dataSize());
		break;
	case DEAD_OBJECT:
		printf("%u: dead\n", code);
		break;
	case FAILED_TRANSACTION:
		printf("%u: failed\n", code);
		break;
	default:
		printf("%u: status %d\n", code, status);
	}
}

static void obey(const sp<IBinder> &service)
{
	char line[100];

	while (fgets(line, sizeof(line), stdin)) {
		unsigned code;
		size_t size = 0;

		if (!strncmp(line, "quit", 4))
			return;
		if (sscanf(line, "call %u %zu", &code, &size) >= 1)
			call(service, code, size);
		else
			printf("not a command: %s", line);
	}
}

int main(int argc, char **argv)
{
	const char *device = "/dev/binder";
	bool link = false;

	for (int opt; (opt = getopt(argc, argv, "d:l")) != -1;) {
		if (opt == 'd')
			device = optarg;
		else if (opt == 'l')
			link = true;
		else
			return 2;
	}
	if (argc - optind != 1) {
		fprintf(stderr, "usage: binder-client [-d DEVICE] [-l] NAME\n");
		return 2;
	}
	setlinebuf(stdout);
	const char *name = argv[optind];
	sp<ProcessState> process = ProcessState::initWithDriver(device);
	sp<IBinder> service = defaultServiceManager()->checkService(String16(name));
	if (!service) {
		fprintf(stderr, "binder-client: servicemanager does not know %s\n", name);
		return 1;
	}
	sp<Obituary> obituary = sp<Obituary>::make(name); // the link does not keep it
	if (link) {
		process->startThreadPool();
		if (status_t status = service->linkToDeath(obituary); status != OK) {
			fprintf(stderr, "binder-client: death link: status %d\n", status);
			return 1;
		}
	}
	IPCThreadState::self()->flushCommands();
	printf("holding %s pid %d\n", name, (int)getpid());
	obey(service);
	return 0;
}
