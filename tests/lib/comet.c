/* comet SECONDS [setsid]: a process that forks and whose parent exits, again and again.
 *
 * No pid of it lives long enough to be found in /proc. With "setsid" each one begins a session of
 * its own. It keeps what it has inherited, a lock for instance, and ends after SECONDS by itself.
 */
#include <signal.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

int main(int count, char **words)
{
    time_t end = time(NULL) + (count > 1 ? atoi(words[1]) : 0);
    signal(SIGTERM, SIG_IGN);
    while (time(NULL) < end) {
        pid_t child = fork();
        if (child > 0)
            _exit(0);
        if (child == 0 && count > 2)
            setsid();
    }
    return 0;
}
