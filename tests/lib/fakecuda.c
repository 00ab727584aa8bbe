/* libcuda.so.1 stand-in for tests/lib/cuda.py, beside fakenvml.c. It sees the GPUs whose nodes /dev/nvidiaN it may
 * open, of those the ones in CUDA_VISIBLE_DEVICES, and has the UUIDs 00000000-0000-4000-8000-00000000000N. What it
 * allocates is written as "<GPU> <MiB>" to the file /run/fake-cuda/<pid>, for whoever shows it to NVML.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#define GPUS 2
#define CONTEXT 400
enum {OK=0,NO_DEVICE=100};
static int seen[GPUS],count;

static int can_open(int gpu){
  char path[32]; snprintf(path,sizeof path,"/dev/nvidia%d",gpu);
  int fd=open(path,O_RDWR); if(fd>=0)close(fd); return fd>=0||errno==ENXIO; }
int cuInit(unsigned flags){
  int there[GPUS],n=0; const char*wanted=getenv("CUDA_VISIBLE_DEVICES"); (void)flags; count=0;
  for(int gpu=0;gpu<GPUS;gpu++)if(can_open(gpu))there[n++]=gpu;
  for(int i=0;i<n&&!wanted;i++)seen[count++]=there[i];
  while(wanted&&*wanted&&count<GPUS){
    char*end; long i=strtol(wanted,&end,10); if(end==wanted||i<0||i>=n)break;
    seen[count++]=there[i]; wanted=*end==','?end+1:end; }
  return count?OK:NO_DEVICE; }
int cuDeviceGetCount(int*n){*n=count; return OK;}
int cuDeviceGet(int*device,int i){*device=i; return OK;}
int cuDeviceGetUuid_v2(unsigned char*uuid,int device){
  memset(uuid,0,16); uuid[6]=0x40; uuid[8]=0x80; uuid[15]=seen[device]; return OK; }
int cuDevicePrimaryCtxRetain(void**context,int device){(void)device; *context=NULL; return OK;}
int cuCtxSetCurrent(void*context){(void)context; return OK;}
int cuMemAlloc_v2(unsigned long long*at,size_t size){
  char path[64]; *at=1; snprintf(path,sizeof path,"/run/fake-cuda/%d",getpid());
  FILE*file=fopen(path,"w"); if(!file)return 2;
  fprintf(file,"%d %zu\n",seen[0],(size>>20)+CONTEXT); fclose(file); return OK; }
