/* libnvidia-ml.so.1 stand-in for tests. State: text file named by $FAKE_NVML_STATE, read again at every call:
 *   driver 580.65.06
 *   init 0                       (error code that nvmlInit* returns)
 *   gpu <uuid> <MiB total> <MiB used> <util%> <tempC> <err> <name...>     (err: code every per-device call returns)
 *   proc <gpu index> <pid> <MiB>
 *   hang 1                       (every call waits for ever)
 *   cap <gpu index> <major> <minor>                 (default: 9 0)
 *   topo <gpu index> <gpu index> <level>            (both ways; default: 10 within groups of 4, else 50)
 *   nvlink <gpu index> <link> <remote PCI bus, decimal> <remote type>     (GPU i has bus 16 + i; type 0 GPU, 2 switch)
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <pthread.h>
#include <unistd.h>
#define MAXG 64
#define MAXP 1024
#define API __attribute__((visibility("default")))
typedef int R; typedef struct G *D;
enum {OK=0,UNINIT=1,INVAL=2,NOTSUP=3,NOTFOUND=6,SMALL=7,NODRV=9,GONE=15,VERSION=25};
#define MAXL 36
struct G { char uuid[96],name[96]; unsigned long long total,used; unsigned util,temp; int err, idx, major, minor, topo[MAXG], bus[MAXL], kind[MAXL]; };
struct P { int gpu; unsigned pid; unsigned long long mem; };
static struct G g[MAXG]; static struct P p[MAXP]; static int ng,np,initerr,refs; static char drv[80]="580.65.06";
static pthread_mutex_t mu=PTHREAD_MUTEX_INITIALIZER;
static void load(void){
  const char*f=getenv("FAKE_NVML_STATE"); if(!f)f="/run/fake-nvml/state"; FILE*h=fopen(f,"re"); ng=np=0; initerr=0; if(!h)return; char l[512];
  while(fgets(l,sizeof l,h)){ struct G*x=&g[ng]; unsigned long long t,u;
    if(ng<MAXG&&sscanf(l,"gpu %95s %llu %llu %u %u %d %95[^\n]",x->uuid,&t,&u,&x->util,&x->temp,&x->err,x->name)==7){x->total=t<<20;x->used=u<<20;x->idx=ng++;x->major=9;x->minor=0;for(int i=0;i<MAXG;i++)x->topo[i]=-1;for(int i=0;i<MAXL;i++)x->bus[i]=-1;}
    else if(np<MAXP&&sscanf(l,"proc %d %u %llu",&p[np].gpu,&p[np].pid,&t)==3)p[np++].mem=t<<20;
    else { int a,b,c,k; if(sscanf(l,"cap %d %d %d",&a,&b,&c)==3&&a>=0&&a<ng){g[a].major=b;g[a].minor=c;}
      if(sscanf(l,"topo %d %d %d",&a,&b,&c)==3&&a>=0&&a<ng&&b>=0&&b<ng)g[a].topo[b]=g[b].topo[a]=c;
      if(sscanf(l,"nvlink %d %d %d %d",&a,&b,&c,&k)==4&&a>=0&&a<ng&&b>=0&&b<MAXL){g[a].bus[b]=c;g[a].kind[b]=k;}
      sscanf(l,"driver %79s",drv); sscanf(l,"init %d",&initerr); int w=0; sscanf(l,"hang %d",&w); while(w)pause();} }
  fclose(h); }
#define ENTER pthread_mutex_lock(&mu); load(); R r_=OK; if(!refs) r_=UNINIT;
#define DEV   ENTER if(!r_){ if(!d||d<g||d>=g+ng) r_=INVAL; else if(d->err) r_=d->err; } if(!r_)
#define LEAVE pthread_mutex_unlock(&mu); return r_;
API R nvmlInitWithFlags(unsigned f){(void)f; pthread_mutex_lock(&mu); load(); R r=initerr; if(!r)refs++; pthread_mutex_unlock(&mu); return r;}
API R nvmlInit_v2(void){return nvmlInitWithFlags(0);} API R nvmlInit(void){return nvmlInitWithFlags(0);}
API R nvmlShutdown(void){ENTER if(!r_)refs--; LEAVE}
API const char*nvmlErrorString(R r){ switch(r){case OK:return "Success";case UNINIT:return "Uninitialized";case INVAL:return "Invalid Argument";case NOTSUP:return "Not Supported";case NOTFOUND:return "Not Found";case SMALL:return "Insufficient Size";case NODRV:return "Driver Not Loaded";case GONE:return "GPU is lost";case 999:return "Unknown Error";} return "Error";}
API R nvmlSystemGetDriverVersion(char*s,unsigned n){ENTER if(!r_)snprintf(s,n,"%s",drv); LEAVE}
API R nvmlSystemGetNVMLVersion(char*s,unsigned n){ENTER if(!r_)snprintf(s,n,"13.%s",drv); LEAVE}
API R nvmlSystemGetCudaDriverVersion_v2(int*v){ENTER if(!r_)*v=13000; LEAVE}
API R nvmlSystemGetCudaDriverVersion(int*v){return nvmlSystemGetCudaDriverVersion_v2(v);}
API R nvmlDeviceGetCount_v2(unsigned*n){ENTER if(!r_)*n=ng; LEAVE} API R nvmlDeviceGetCount(unsigned*n){return nvmlDeviceGetCount_v2(n);}
API R nvmlDeviceGetHandleByIndex_v2(unsigned i,D*d){ENTER if(!r_){if(i>=(unsigned)ng)r_=INVAL;else if(g[i].err==GONE){r_=GONE;}else *d=&g[i];} LEAVE}
API R nvmlDeviceGetHandleByIndex(unsigned i,D*d){return nvmlDeviceGetHandleByIndex_v2(i,d);}
API R nvmlDeviceGetHandleByUUID(const char*u,D*d){ENTER if(!r_){r_=NOTFOUND;for(int i=0;i<ng;i++)if(!strcmp(g[i].uuid,u)){*d=&g[i];r_=OK;}} LEAVE}
API R nvmlDeviceGetHandleByPciBusId_v2(const char*b,D*d){ENTER if(!r_){unsigned dom,bus;r_=NOTFOUND;if(sscanf(b,"%x:%x",&dom,&bus)==2&&bus>=16&&bus<16+(unsigned)ng){*d=&g[bus-16];r_=OK;}} LEAVE}
API R nvmlDeviceGetIndex(D d,unsigned*i){DEV *i=d->idx; LEAVE}
API R nvmlDeviceGetMinorNumber(D d,unsigned*i){DEV *i=d->idx; LEAVE}
API R nvmlDeviceGetName(D d,char*s,unsigned n){DEV snprintf(s,n,"%s",d->name); LEAVE}
API R nvmlDeviceGetUUID(D d,char*s,unsigned n){DEV {if(n<=strlen(d->uuid))r_=SMALL;else strcpy(s,d->uuid);} LEAVE}
API R nvmlDeviceGetSerial(D d,char*s,unsigned n){DEV snprintf(s,n,"%013d",d->idx); LEAVE}
API R nvmlDeviceGetMemoryInfo(D d,unsigned long long*m){DEV {m[0]=d->total;m[1]=d->total-d->used;m[2]=d->used;} LEAVE}
struct M2{unsigned version;unsigned long long total,reserved,free,used;};
API R nvmlDeviceGetMemoryInfo_v2(D d,struct M2*m){DEV {if(m->version!=(sizeof(struct M2)|2u<<24))r_=VERSION;else{unsigned long long rs=512ull<<20;m->total=d->total;m->reserved=rs;m->used=d->used;m->free=d->total-d->used-rs;}} LEAVE}
API R nvmlDeviceGetUtilizationRates(D d,unsigned*u){DEV {u[0]=d->util;u[1]=d->util/2;} LEAVE}
API R nvmlDeviceGetTemperature(D d,int k,unsigned*t){(void)k;DEV *t=d->temp; LEAVE}
API R nvmlDeviceGetPowerUsage(D d,unsigned*t){DEV *t=70000+d->util*4000; LEAVE}
API R nvmlDeviceGetEnforcedPowerLimit(D d,unsigned*t){DEV *t=500000; LEAVE}
API R nvmlDeviceGetPersistenceMode(D d,int*t){DEV *t=1; LEAVE}
API R nvmlDeviceGetComputeMode(D d,int*t){DEV *t=0; LEAVE}
API R nvmlDeviceGetMigMode(D d,unsigned*c,unsigned*q){(void)c;(void)q;DEV r_=NOTSUP; LEAVE}
API R nvmlDeviceGetCudaComputeCapability(D d,int*a,int*b){DEV {*a=d->major;*b=d->minor;} LEAVE}
struct PCI{char legacy[16];unsigned domain,bus,device,id,sub;char busId[32];};
API R nvmlDeviceGetPciInfo_v3(D d,struct PCI*q){DEV {memset(q,0,sizeof*q);q->bus=16+d->idx;q->id=0x233510de;snprintf(q->legacy,16,"0000:%02X:00.0",q->bus);snprintf(q->busId,32,"00000000:%02X:00.0",q->bus);} LEAVE}
struct PI{unsigned pid;unsigned long long mem;unsigned gi,ci;};
static R procs(D d,unsigned*n,struct PI*o,int compute){DEV {unsigned k=0;if(compute)for(int i=0;i<np;i++)if(p[i].gpu==d->idx)k++;
  if(*n<k){r_=SMALL;*n=k;}else{k=0;if(compute&&o)for(int i=0;i<np;i++)if(p[i].gpu==d->idx){o[k].pid=p[i].pid;o[k].mem=p[i].mem;o[k].gi=o[k].ci=0xffffffffu;k++;}*n=k;}} LEAVE}
API R nvmlDeviceGetComputeRunningProcesses_v3(D d,unsigned*n,struct PI*o){return procs(d,n,o,1);}
API R nvmlDeviceGetGraphicsRunningProcesses_v3(D d,unsigned*n,struct PI*o){return procs(d,n,o,0);}
API R nvmlDeviceGetMPSComputeRunningProcesses_v3(D d,unsigned*n,struct PI*o){return procs(d,n,o,0);}
API R nvmlDeviceGetTotalEccErrors(D d,int t,int c,unsigned long long*v){(void)t;(void)c;DEV *v=0; LEAVE}
API R nvmlDeviceGetTopologyCommonAncestor(D d,D e,int*l){DEV {if(!e||e<g||e>=g+ng)r_=INVAL;else *l=d->topo[e->idx]>=0?d->topo[e->idx]:(d->idx/4==e->idx/4)?10:50;} LEAVE}
API R nvmlDeviceGetNvLinkState(D d,unsigned n,unsigned*s){DEV {if(n>=MAXL)r_=INVAL;else *s=d->bus[n]>=0;} LEAVE}
API R nvmlDeviceGetNvLinkRemotePciInfo_v2(D d,unsigned n,struct PCI*q){DEV {if(n>=MAXL||d->bus[n]<0)r_=INVAL;else{memset(q,0,sizeof*q);q->bus=d->bus[n];snprintf(q->busId,32,"00000000:%02X:00.0",q->bus);}} LEAVE}
API R nvmlDeviceGetNvLinkRemoteDeviceType(D d,unsigned n,unsigned*t){DEV {if(n>=MAXL||d->bus[n]<0)r_=INVAL;else *t=d->kind[n];} LEAVE}
API R nvmlDeviceGetCpuAffinity(D d,unsigned n,unsigned long*s){DEV {for(unsigned i=0;i<n;i++)s[i]=0;s[0]=d->idx<4?1:2;} LEAVE}
