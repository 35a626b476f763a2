/* The two ends of a serial line, for the benchmarks; line.py is the same in Python, only slower.

   line echo LINK   make a pty behind LINK and answer every line with "ok\n"
   line ask PATH    for each "COUNT GAP_US" on stdin: send lines, print the round trips in ns
   line flow PATH   for each "SIZE BYTES_PER_S SECONDS" on stdin: send and receive at the same
                    time, print "SENT SENT_SUM RECEIVED RECEIVED_SUM SECONDS"
   line flow -LINK  the same on the master of a pty behind LINK
*/
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#define SECOND_NS 1000000000LL
#define ANSWER_TIMEOUT_MS 5000
#define QUIET_NS (2 * SECOND_NS)
#define FNV_BASIS 14695981039346656037ULL
#define FNV_PRIME 1099511628211ULL

static const char LINE[] = "G1 X10.000 Y20.0000\n"; /* 20 bytes */

static int64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * SECOND_NS + t.tv_nsec;
}

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static void set_raw(int fd) {
    struct termios settings;
    if (tcgetattr(fd, &settings)) fail("tcgetattr");
    cfmakeraw(&settings);
    settings.c_cc[VMIN] = 1;
    settings.c_cc[VTIME] = 0;
    if (tcsetattr(fd, TCSANOW, &settings)) fail("tcsetattr");
}

/* The slave stays open, so that the master never hangs up. */
static int make_pty(const char *link) {
    int master, slave;
    char name[128];
    if (openpty(&master, &slave, name, NULL, NULL)) fail("openpty");
    set_raw(slave);
    unlink(link);
    if (symlink(name, link)) fail(link);
    return master;
}

static int open_line(const char *path) {
    int fd = open(path, O_RDWR | O_NOCTTY);
    if (fd < 0) fail(path);
    set_raw(fd);
    tcflush(fd, TCIOFLUSH);
    return fd;
}

static void ready(void) {
    puts("ready");
    fflush(stdout);
}

static void echo(const char *link) {
    int fd = make_pty(link);
    char buffer[4096];
    ready();
    for (;;) {
        ssize_t size = read(fd, buffer, sizeof buffer);
        if (size <= 0) fail("read");
        for (ssize_t i = 0; i < size; i++)
            if (buffer[i] == '\n' && write(fd, "ok\n", 3) != 3) fail("write");
    }
}

static int64_t round_trip(int fd) {
    char buffer[64];
    struct pollfd waiting = {fd, POLLIN, 0};
    int64_t start = now_ns();
    if (write(fd, LINE, sizeof LINE - 1) != sizeof LINE - 1) fail("write");
    for (;;) {
        if (poll(&waiting, 1, ANSWER_TIMEOUT_MS) != 1) {
            fputs("no answer\n", stderr);
            exit(1);
        }
        ssize_t size = read(fd, buffer, sizeof buffer);
        if (size <= 0) fail("read");
        if (buffer[size - 1] == '\n') return now_ns() - start;
    }
}

static void ask(const char *path) {
    int fd = open_line(path);
    long count, gap_us;
    ready();
    while (scanf("%ld %ld", &count, &gap_us) == 2) {
        struct timespec gap = {0, gap_us * 1000};
        for (long i = 0; i < count; i++) {
            if (gap_us) nanosleep(&gap, NULL);
            printf("%lld ", (long long)round_trip(fd));
        }
        puts("");
        fflush(stdout);
    }
}

static uint64_t sum(uint64_t so_far, const unsigned char *data, ssize_t size) {
    for (ssize_t i = 0; i < size; i++) so_far = (so_far ^ data[i]) * FNV_PRIME;
    return so_far;
}

struct flow {
    int64_t total, sent, received, ended_at;
    uint64_t sent_sum, received_sum;
};

static void send_some(int fd, struct flow *flow, int64_t most) {
    unsigned char data[4096];
    for (int64_t i = 0; i < most; i++) data[i] = (unsigned char)((flow->sent + i) * 167 >> 3);
    ssize_t size = write(fd, data, most);
    if (size < 0 && errno != EAGAIN) fail("write");
    if (size <= 0) return;
    flow->sent_sum = sum(flow->sent_sum, data, size);
    flow->sent += size;
}

static void receive_some(int fd, struct flow *flow) {
    unsigned char data[4096];
    ssize_t size = read(fd, data, sizeof data);
    if (size < 0 && errno != EAGAIN) fail("read");
    if (size <= 0) return;
    flow->received_sum = sum(flow->received_sum, data, size);
    flow->received += size;
    flow->ended_at = now_ns();
}

/* One write of `size` bytes each time that the line would have carried so many. */
static void run_flow(int fd, struct flow *flow, int size, double bytes_per_s) {
    int64_t start = now_ns(), last = start, chunk_end = 0;
    while (flow->sent < flow->total || flow->received < flow->total) {
        int64_t now = now_ns(), due = start + (int64_t)(flow->sent / bytes_per_s * 1e9);
        if (flow->ended_at > last) last = flow->ended_at;
        if (flow->sent == flow->total && now - last > QUIET_NS && now > due + QUIET_NS) return;
        short events = POLLIN;
        int64_t wait = SECOND_NS / 10;
        if (flow->sent < flow->total && now >= due) events |= POLLOUT;
        else if (flow->sent < flow->total) wait = due - now;
        struct pollfd waiting = {fd, events, 0};
        struct timespec timeout = {0, wait};
        if (ppoll(&waiting, 1, &timeout, NULL) < 0) fail("ppoll");
        if (waiting.revents & POLLIN) receive_some(fd, flow);
        if (!(waiting.revents & POLLOUT)) continue;
        if (flow->sent == chunk_end) chunk_end += size;
        if (chunk_end > flow->total) chunk_end = flow->total;
        send_some(fd, flow, chunk_end - flow->sent);
    }
}

static void flow(const char *place) {
    int fd = place[0] == '-' ? make_pty(place + 1) : open_line(place);
    int size;
    double bytes_per_s, seconds;
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    ready();
    while (scanf("%d %lf %lf", &size, &bytes_per_s, &seconds) == 3) {
        struct flow flow = {0};
        flow.sent_sum = flow.received_sum = FNV_BASIS;
        flow.total = (int64_t)(bytes_per_s * seconds);
        int64_t start = now_ns();
        run_flow(fd, &flow, size, bytes_per_s);
        printf("%lld %llx %lld %llx %.3f\n", (long long)flow.sent, (long long)flow.sent_sum,
               (long long)flow.received, (long long)flow.received_sum, (now_ns() - start) / 1e9);
        fflush(stdout);
    }
}

int main(int count, char **arguments) {
    if (count != 3) return 2;
    if (!strcmp(arguments[1], "echo")) echo(arguments[2]);
    if (!strcmp(arguments[1], "ask")) ask(arguments[2]);
    if (!strcmp(arguments[1], "flow")) flow(arguments[2]);
    return 0;
}
