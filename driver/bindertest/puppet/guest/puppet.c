/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A process of a scenario, on a real kernel: it does nothing but what it is told.
 *
 *	puppet CLERK LEADER MAILBOX [again]	(numbers of sockets: two streams, one for datagrams)
 *
 * Each thread has a socket, reads a call from it, executes that and writes the
 * result. One more thread, the clerk, never touches binder: it starts threads and
 * takes descriptors out of the mailbox, while any of the others may be blocked.
 *
 * It is in C and not in Go because what runs here must be this and nothing else:
 * Go's runtime has threads and signals of its own, owns credentials and thread
 * exits, and its monitor wakes for each blocking call, which costs more than the
 * call on an emulated processor.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/android/binder.h>
#include <linux/userfaultfd.h>

/* Memory of every process, as driver/bindertest/system.go says. */
#define ARENA		0x200000000ull
#define ARENA_SIZE	(16ull << 20)
#define MAP_ADDR	0x300000000ull
#define MAP_STRIDE	(16ull << 20)
#define MAP_COUNT	64

#define OWN_FDS		900	/* our own descriptors are from here on, a scenario's below */
#define STAGE_SIZE	(32ull << 20)

/* The operations, in the order of driver/bindertest/system.go. */
enum op {
	OP_OPEN = 1, OP_CLOSE, OP_DUP, OP_MMAP, OP_MUNMAP, OP_MPROTECT, OP_IOCTL, OP_WRITE_READ,
	OP_POLL, OP_POLL_WAIT, OP_PEEK, OP_POKE, OP_PIPE, OP_FILE, OP_READ_FD, OP_WRITE_FD,
	OP_DESCRIBE, OP_GIVE, OP_NICE, OP_NONBLOCK, OP_EPOLL, OP_EXIT, OP_SET_EUID, OP_RLIMIT,
	OP_FORK_PEEK, OP_IOCTL32, OP_HOLD, OP_LET_GO, OP_EXEC,
};

/* On the wire; data_len bytes follow each. proto.go has the same. */
struct call {
	uint64_t op, fd, cmd, flags, prot, index, addr, len;
	uint64_t write_consumed, read_size, read_consumed, data_len;
};

struct result {
	uint64_t err, val, val2, write_consumed, read_consumed, data_len;
};

struct thread {
	int sock;
	uint8_t *stage;		/* the data of a call, then that of its result */
	uid_t euid;		/* that of the thread, to be changed with the process's */
};

static int clerk_sock, leader_sock, mailbox;
static int held = -1;	/* what user space answers the faults of, or -1 */
static _Atomic uid_t process_euid;
static _Thread_local sigjmp_buf fault;
static _Thread_local volatile sig_atomic_t may_fault;

static __attribute__((noreturn)) void die(int status)
{
	_exit(status);
}

/* Fills the vector from the stream, or sends it; in as few calls as it takes, since calls are what takes time. */
static void transfer(int sock, struct iovec *v, int n, int out)
{
	while (n) {
		struct msghdr m = { .msg_iov = v, .msg_iovlen = n };
		ssize_t done = out ? sendmsg(sock, &m, MSG_NOSIGNAL) : recvmsg(sock, &m, 0);

		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0)
			die(done < 0 ? 2 : 0);
		while (n && (size_t)done >= v->iov_len) {
			done -= v->iov_len;
			v++;
			n--;
		}
		if (n) {
			v->iov_base = (char *)v->iov_base + done;
			v->iov_len -= done;
		}
	}
}

static void get(int sock, void *to, size_t len)
{
	struct iovec v = { to, len };

	transfer(sock, &v, !!len, 0);
}

static void put(int sock, const void *head, size_t head_len, const void *data, size_t len)
{
	struct iovec v[2] = { { (void *)head, head_len }, { (void *)data, len } };

	transfer(sock, v, len ? 2 : 1, 1);
}

static int move_up(int fd)
{
	int up = fcntl(fd, F_DUPFD_CLOEXEC, OWN_FDS);

	if (up < 0)
		die(7);
	close(fd);
	return up;
}

/* ---- memory that may not be there ---- */

static void on_fault(int sig)
{
	if (!may_fault) {
		signal(sig, SIG_DFL);
		return;
	}
	siglongjmp(fault, 1);
}

/* Copies as far as it can; EFAULT if that is not all. */
static int copy(void *to, const void *from, size_t len)
{
	if (sigsetjmp(fault, 1)) {
		may_fault = 0;
		return EFAULT;
	}
	may_fault = 1;
	__asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(len) : : "memory");
	may_fault = 0;
	return 0;
}

/* ---- the calls ---- */

static void ret(struct result *r, long val)
{
	if (val < 0)
		r->err = errno;
	else
		r->val = val;
}

static void op_mmap(const struct call *c, struct result *r)
{
	void *at = (void *)(uintptr_t)(MAP_ADDR + c->index * MAP_STRIDE);
	void *p = mmap(at, c->len, c->prot, MAP_PRIVATE | MAP_NORESERVE | MAP_FIXED_NOREPLACE, c->fd, 0);

	if (p == MAP_FAILED)
		r->err = errno;
	else
		r->val = (uintptr_t)p;
}

static void op_ioctl(struct thread *t, const struct call *c, struct result *r)
{
	void *arg = c->data_len ? t->stage : NULL;

	if (c->addr)
		arg = (void *)(uintptr_t)c->addr;
	ret(r, ioctl(c->fd, c->cmd, arg));
	r->data_len = c->data_len;
}

/* The system call of 32-bit programs, which any program may make. Its pointers are 32 bits wide. */
static void op_ioctl32(struct thread *t, const struct call *c, struct result *r)
{
	void *arg = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	int ret = 54; /* __NR_ioctl there */

	if (arg == MAP_FAILED || c->data_len > 4096) {
		r->err = ENOMEM;
		return;
	}
	memcpy(arg, t->stage, c->data_len);
	__asm__ volatile("int $0x80" : "+a"(ret) : "b"((int)c->fd), "c"(c->cmd), "d"((uint32_t)(uintptr_t)arg)
			 : "memory", "r8", "r9", "r10", "r11");
	memcpy(t->stage, arg, c->data_len);
	munmap(arg, 4096);
	if (ret < 0)
		r->err = -ret;
	r->data_len = c->data_len;
}

static void op_write_read(struct thread *t, const struct call *c, struct result *r)
{
	struct binder_write_read bwr = {
		.write_size = c->data_len - c->len,
		.write_consumed = c->write_consumed,
		.write_buffer = c->addr + c->len,
		.read_size = c->read_size,
		.read_consumed = c->read_consumed,
		.read_buffer = (uintptr_t)t->stage,
	};

	/* What does not fit where it should go is for the driver to find. */
	copy((void *)(uintptr_t)c->addr, t->stage, c->data_len);
	ret(r, ioctl(c->fd, BINDER_WRITE_READ, &bwr));
	r->write_consumed = bwr.write_consumed;
	r->read_consumed = bwr.read_consumed;
	if (bwr.read_consumed > c->read_consumed) {
		r->data_len = bwr.read_consumed - c->read_consumed;
		memmove(t->stage, t->stage + c->read_consumed, r->data_len);
	}
}

static void op_poll(const struct call *c, struct result *r, int timeout)
{
	struct pollfd p = { .fd = c->fd, .events = c->flags };

	if (poll(&p, 1, timeout) < 0)
		r->err = errno;
	else
		r->val = p.revents;
}

static void op_file(struct thread *t, const struct call *c, struct result *r)
{
	int fd = memfd_create("file", MFD_CLOEXEC);

	ret(r, fd);
	if (fd >= 0 && (ftruncate(fd, 4096) || pwrite(fd, t->stage, c->data_len, 0) != (ssize_t)c->data_len))
		r->err = errno;
}

static void op_read_fd(struct thread *t, const struct call *c, struct result *r)
{
	struct pollfd p = { .fd = c->fd, .events = POLLIN };
	ssize_t n = pread(c->fd, t->stage, c->len, 0);

	if (n < 0 && errno == ESPIPE) {
		n = poll(&p, 1, 0) ? read(c->fd, t->stage, c->len) : -1;
		if (!p.revents)
			errno = EAGAIN;
	}
	ret(r, n);
	if (n > 0)
		r->data_len = n;
}

/* Two descriptors are of one file if device, inode and access mode are the same. */
static void op_describe(struct thread *t, const struct call *c, struct result *r)
{
	int fd_flags = fcntl(c->fd, F_GETFD);
	uint64_t id[3];
	struct stat st;

	if (fd_flags < 0 || fstat(c->fd, &st))
		return;
	r->val = 1;
	r->val2 = !!(fd_flags & FD_CLOEXEC);
	id[0] = st.st_dev;
	id[1] = st.st_ino;
	id[2] = fcntl(c->fd, F_GETFL) & O_ACCMODE;
	memcpy(t->stage, id, sizeof(id));
	r->data_len = sizeof(id);
}

static void op_nice(const struct call *c, struct result *r)
{
	if (c->flags && setpriority(PRIO_PROCESS, 0, (int)c->index)) {
		r->err = errno;
		return;
	}
	r->val = (int64_t)getpriority(PRIO_PROCESS, 0);
}

static void op_nonblock(const struct call *c, struct result *r)
{
	int flags = fcntl(c->fd, F_GETFL);

	if (flags >= 0)
		flags = fcntl(c->fd, F_SETFL, c->flags ? flags | O_NONBLOCK : flags & ~O_NONBLOCK);
	ret(r, flags);
}

static void op_epoll(const struct call *c, struct result *r)
{
	struct epoll_event ev = { .events = EPOLLIN };
	int fd = epoll_create1(EPOLL_CLOEXEC);

	ret(r, fd);
	if (fd >= 0 && epoll_ctl(fd, EPOLL_CTL_ADD, c->fd, &ev)) {
		r->err = errno;
		close(fd);
	}
}

static void op_rlimit(const struct call *c, struct result *r)
{
	struct rlimit l;

	if (!getrlimit(c->cmd, &l)) {
		l.rlim_cur = c->len;
		if (l.rlim_max < c->len)
			l.rlim_max = c->len;
	}
	ret(r, setrlimit(c->cmd, &l));
}

/* Credentials are a thread's; the others follow when they are next used. */
static void follow_euid(struct thread *t)
{
	uid_t want = process_euid;

	if (t->euid != want && !syscall(SYS_setresuid, -1, want, -1))
		t->euid = want;
}

static void op_set_euid(struct thread *t, const struct call *c, struct result *r)
{
	ret(r, syscall(SYS_setresuid, -1, (uid_t)c->index, -1));
	if (!r->err)
		process_euid = t->euid = c->index;
}

/* Looks at memory in a child, whose end closes what it inherited. */
static void op_fork_peek(struct thread *t, const struct call *c, struct result *r)
{
	pid_t child = fork();
	int status;

	if (!child)
		_exit(copy(t->stage, (void *)(uintptr_t)c->addr, c->len));
	while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	ret(r, child > 0 ? 0 : -1);
	if (child > 0)
		r->err = WIFEXITED(status) ? WEXITSTATUS(status) : EINTR;
}

static void op_pipe(struct result *r)
{
	int p[2];

	if (pipe2(p, O_CLOEXEC)) {
		r->err = errno;
		return;
	}
	r->val = p[0];
	r->val2 = p[1];
}

/* Nobody answers the faults, until the closing of the descriptor makes them plain ones. */
static void op_hold(const struct call *c, struct result *r)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg = {
		.range = { .start = c->addr, .len = c->len },
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};

	held = syscall(SYS_userfaultfd, O_CLOEXEC);
	if (held < 0 || ioctl(held, UFFDIO_API, &api) || ioctl(held, UFFDIO_REGISTER, &reg) ||
	    madvise((void *)(uintptr_t)c->addr, c->len, MADV_DONTNEED))
		r->err = errno;
	else
		held = move_up(held);
}

static void op_let_go(struct result *r)
{
	ret(r, close(held));
	held = -1;
}

/* Returns only if it fails. */
static void op_exec(struct result *r)
{
	char clerk[12], leader[12], box[12];
	char *argv[] = { "puppet", clerk, leader, box, "again", NULL };
	int fd;

	for (fd = 3; fd < OWN_FDS; fd++)
		fcntl(fd, F_SETFD, 0);
	fcntl(clerk_sock, F_SETFD, 0);
	fcntl(leader_sock, F_SETFD, 0);
	fcntl(mailbox, F_SETFD, 0);
	snprintf(clerk, sizeof(clerk), "%d", clerk_sock);
	snprintf(leader, sizeof(leader), "%d", leader_sock);
	snprintf(box, sizeof(box), "%d", mailbox);
	ret(r, execv("/proc/self/exe", argv));
}

/* ---- descriptors through sockets ---- */

union fd_message {
	struct cmsghdr align;
	char space[CMSG_SPACE(sizeof(int))];
};

/*
 * Sends a descriptor to the mailbox whose address is in the data. Not through the
 * controller: its closing of a binder file would be seen by the driver.
 */
static void op_give(struct thread *t, const struct call *c, struct result *r)
{
	union fd_message u = { 0 };
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	char byte = 0;
	struct iovec iov = { &byte, 1 };
	struct msghdr m = {
		.msg_name = &to, .msg_namelen = offsetof(struct sockaddr_un, sun_path) + c->data_len,
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &u, .msg_controllen = sizeof(u),
	};
	struct cmsghdr *h = CMSG_FIRSTHDR(&m);
	int fd = c->fd;

	memcpy(to.sun_path, t->stage, c->data_len);
	h->cmsg_level = SOL_SOCKET;
	h->cmsg_type = SCM_RIGHTS;
	h->cmsg_len = CMSG_LEN(sizeof(fd));
	memcpy(CMSG_DATA(h), &fd, sizeof(fd));
	ret(r, sendmsg(mailbox, &m, MSG_NOSIGNAL) < 0 ? -1 : 0);
}

/* Takes one byte and the descriptor that may come with it. */
static int take(int sock, char *byte)
{
	union fd_message u;
	struct iovec iov = { byte, 1 };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &u, .msg_controllen = sizeof(u) };
	struct cmsghdr *h;
	ssize_t n;
	int fd = -1;

	do
		n = recvmsg(sock, &m, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n <= 0)
		die(n < 0 ? 4 : 0);
	h = CMSG_FIRSTHDR(&m);
	if (h && h->cmsg_type == SCM_RIGHTS)
		memcpy(&fd, CMSG_DATA(h), sizeof(fd));
	return fd;
}

/* ---- threads ---- */

static void execute(struct thread *t, const struct call *c, struct result *r)
{
	void *addr = (void *)(uintptr_t)c->addr;

	switch (c->op) {
	case OP_OPEN:
		t->stage[c->data_len] = 0;
		ret(r, open((char *)t->stage, O_RDWR | O_CLOEXEC | (int)c->flags));
		break;
	case OP_CLOSE:
		ret(r, close(c->fd));
		break;
	case OP_DUP:
		ret(r, fcntl(c->fd, F_DUPFD_CLOEXEC, 0));
		break;
	case OP_MMAP:
		op_mmap(c, r);
		break;
	case OP_MUNMAP:
		ret(r, munmap(addr, c->len));
		break;
	case OP_MPROTECT:
		ret(r, mprotect(addr, c->len, c->prot));
		break;
	case OP_IOCTL:
		op_ioctl(t, c, r);
		break;
	case OP_IOCTL32:
		op_ioctl32(t, c, r);
		break;
	case OP_WRITE_READ:
		op_write_read(t, c, r);
		break;
	case OP_POLL:
		op_poll(c, r, 0);
		break;
	case OP_POLL_WAIT:
		op_poll(c, r, -1);
		break;
	case OP_PEEK:
		r->err = copy(t->stage, addr, c->len);
		r->data_len = r->err ? 0 : c->len;
		break;
	case OP_POKE:
		r->err = copy(addr, t->stage, c->data_len);
		break;
	case OP_PIPE:
		op_pipe(r);
		break;
	case OP_FILE:
		op_file(t, c, r);
		break;
	case OP_READ_FD:
		op_read_fd(t, c, r);
		break;
	case OP_WRITE_FD:
		ret(r, write(c->fd, t->stage, c->data_len));
		break;
	case OP_DESCRIBE:
		op_describe(t, c, r);
		break;
	case OP_NICE:
		op_nice(c, r);
		break;
	case OP_NONBLOCK:
		op_nonblock(c, r);
		break;
	case OP_EPOLL:
		op_epoll(c, r);
		break;
	case OP_SET_EUID:
		op_set_euid(t, c, r);
		break;
	case OP_RLIMIT:
		op_rlimit(c, r);
		break;
	case OP_FORK_PEEK:
		op_fork_peek(t, c, r);
		break;
	case OP_HOLD:
		op_hold(c, r);
		break;
	case OP_LET_GO:
		op_let_go(r);
		break;
	case OP_EXEC:
		op_exec(r);
		break;
	case OP_GIVE:
		op_give(t, c, r);
		break;
	case OP_EXIT:
		break;
	default:
		r->err = ENOSYS;
	}
}

/* There is never more than one call in the stream, so what comes at once with its head is its data. */
static void get_call(struct thread *t, struct call *c)
{
	struct iovec v[2] = { { c, sizeof(*c) }, { t->stage, STAGE_SIZE - 1 } };
	struct msghdr m = { .msg_iov = v, .msg_iovlen = 2 };
	size_t have;
	ssize_t n;

	do
		n = recvmsg(t->sock, &m, 0);
	while (n < 0 && errno == EINTR);
	if (n <= 0)
		die(0);
	if ((size_t)n < sizeof(*c)) {
		get(t->sock, (char *)c + n, sizeof(*c) - n);
		n = sizeof(*c);
	}
	have = n - sizeof(*c);
	if (c->data_len >= STAGE_SIZE || have > c->data_len)
		die(6);
	get(t->sock, t->stage + have, c->data_len - have);
}

static __attribute__((noreturn)) void *perform(void *sock)
{
	struct thread t = { .sock = (intptr_t)sock, .euid = process_euid };

	t.stage = mmap(NULL, STAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (t.stage == MAP_FAILED)
		die(5);
	for (;;) {
		struct call c;
		struct result r = { 0 };

		get_call(&t, &c);
		follow_euid(&t);
		errno = 0;
		execute(&t, &c, &r);
		put(t.sock, &r, sizeof(r), t.stage, r.data_len);
		if (c.op == OP_EXIT)
			syscall(SYS_exit, 0);
	}
}

/* Starts a thread; 0, or an error number. */
static int start(void *(*run)(void *), int sock)
{
	pthread_attr_t attr;
	pthread_t id;
	int err;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 128 << 10);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	err = pthread_create(&id, &attr, run, (void *)(intptr_t)sock);
	pthread_attr_destroy(&attr);
	return err;
}

/* As it was at the start, for the next scenario: what it opened, mapped and wrote is gone. */
static int64_t reset(void)
{
	if (close_range(3, OWN_FDS - 1, 0) || munmap((void *)(uintptr_t)MAP_ADDR, MAP_COUNT * MAP_STRIDE) ||
	    madvise((void *)(uintptr_t)ARENA, ARENA_SIZE, MADV_DONTNEED))
		return errno;
	return 0;
}

static int64_t fetch(void)
{
	char unused;

	return take(mailbox, &unused);
}

/*
 * Takes orders, each a byte: T, start a thread on the socket that comes with it; F, fetch
 * a descriptor from the mailbox; R, reset.
 */
static __attribute__((noreturn)) void *clerk(void *arg)
{
	int64_t hello = 0;
	int sock = (intptr_t)arg;

	put(sock, &hello, sizeof(hello), NULL, 0);
	for (;;) {
		char order;
		int fd = take(sock, &order);
		int64_t answer = order == 'T' ? start(perform, move_up(fd)) : order == 'F' ? fetch() : reset();

		put(sock, &answer, sizeof(answer), NULL, 0);
	}
}

static void handled(int sig)
{
	(void)sig;
}

static void set_signals(void)
{
	struct sigaction usr = { .sa_handler = handled, .sa_flags = SA_RESTART };
	struct sigaction mem = { .sa_handler = on_fault, .sa_flags = SA_NODEFER };

	sigaction(SIGUSR1, &usr, NULL);
	sigaction(SIGSEGV, &mem, NULL);
	sigaction(SIGBUS, &mem, NULL);
	signal(SIGPIPE, SIG_IGN);
}

int main(int argc, char **argv)
{
	void *arena = (void *)(uintptr_t)ARENA;
	char go;

	if (argc < 4)
		die(8);
	clerk_sock = move_up(atoi(argv[1]));
	leader_sock = move_up(atoi(argv[2]));
	mailbox = move_up(atoi(argv[3]));
	process_euid = geteuid();
	set_signals();
	if (mmap(arena, ARENA_SIZE, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0) != arena)
		die(9);
	if (argc == 4)
		get(clerk_sock, &go, 1); /* what is inherited by threads is set now */
	if (start(clerk, clerk_sock))
		die(10);
	perform((void *)(intptr_t)leader_sock);
}
