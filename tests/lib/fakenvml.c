/* libnvidia-ml.so.1 stand-in for tests. State: text file named by $FAKE_NVML_STATE, read again when it was replaced:
 *   driver 580.65.06
 *   init 0                       (error code that nvmlInit* returns)
 *   gpu <uuid> <MiB total> <MiB used> <util%> <tempC> <err> <name...>     (err: code every per-device call returns)
 *   proc <gpu index> <pid> <MiB>                    (MiB -1: not told)
 *   hang 1                       (every call waits for ever)
 *   hang <function> <gpu index>  (that call about that GPU waits for ever)
 *   fail <function> <gpu index> <code>              (that call about that GPU fails; index -1: calls about no GPU)
 *   cap <gpu index> <major> <minor>                 (default: 9 0)
 *   node <gpu index> <minor of the device node>     (default: the index)
 *   topo <gpu index> <gpu index> <level>            (both ways; default: 10 within groups of 4, else 50)
 *   nvlink <gpu index> <link> <remote PCI bus, decimal> <remote type>     (GPU i has bus 16 + i; type 0 GPU, 2 switch)
 *   event <serial> <gpu index> <type> <data>        (told once to each event set; serials grow; type 8: Xid)
 *   health <gpu index> <remap failed> <uncorrected ECC errors> <recovery action>     (default: nothing is supported)
 *   mig <gpu index> <uuid> <gpu instance> <MiB total> <MiB used> <slices> <compute slices> <name...>
 *   migmode <gpu index> <0|1>                       (default: not supported; with instances: 1)
 *   migproc <gpu instance> <gpu index> <pid> <MiB>
 * Each function is written to the file named by $FAKE_NVML_CALLS, if set, when it is called for the first time about
 * one GPU ("1 <function>") or about none ("0 <function>").
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>
#define MAXG 64
#define MAXP 1024
#define MAXL 36
#define MAXF 256
#define NONE 0xffffffffu
#define API __attribute__((visibility("default")))
typedef int R; typedef struct G *D; typedef unsigned long long U;
enum {OK=0,UNINIT=1,INVAL=2,NOTSUP=3,NOTFOUND=6,SMALL=7,NODRV=9,TIMEOUT=10,GONE=15,MISMATCH=18,VERSION=25};
struct G { char uuid[96],name[96]; U total,used; unsigned util,temp,node,gi,slices,cslices; int err,idx,card,major,minor,migmode,remap,ecc,action,topo[MAXG],bus[MAXL],kind[MAXL]; };
struct P { int gpu; unsigned pid,gi; U mem; };
struct F { char function[64]; int gpu,code; };
struct E { U serial,type,data; int gpu; };
static struct G g[MAXG],m[MAXG]; static struct P p[MAXP]; static struct F f[MAXF],h[MAXF]; static struct E e[MAXF];
static int ng,nm,np,nf,nh,ne,initerr,hangall,refs; static char drv[80]="580.65.06";
static pthread_mutex_t mu=PTHREAD_MUTEX_INITIALIZER; static struct stat seen;

static struct G*at(int i){return i>=0&&i<ng?&g[i]:NULL;}
static void device(const char*l){
  struct G*x=&g[ng]; U t,u; if(ng>=MAXG)return; memset(x,0,sizeof*x);
  if(sscanf(l,"gpu %95s %llu %llu %u %u %d %95[^\n]",x->uuid,&t,&u,&x->util,&x->temp,&x->err,x->name)!=7)return;
  x->total=t<<20; x->used=u<<20; x->card=-1; x->gi=NONE; x->major=9; x->migmode=x->remap=x->ecc=x->action=-1; x->node=ng; x->idx=ng++;
  for(int i=0;i<MAXG;i++)x->topo[i]=-1;
  for(int i=0;i<MAXL;i++)x->bus[i]=-1; }
static void instance(const char*l){
  struct G*x=&m[nm]; U t,u; if(nm>=MAXG)return; memset(x,0,sizeof*x);
  if(sscanf(l,"mig %d %95s %u %llu %llu %u %u %95[^\n]",&x->card,x->uuid,&x->gi,&t,&u,&x->slices,&x->cslices,x->name)!=8||!at(x->card))return;
  x->total=t<<20; x->used=u<<20; x->migmode=-1; x->idx=1000+nm++; g[x->card].migmode=1; }
static void process(int gpu,unsigned gi,unsigned pid,long long mem){
  if(np<MAXP)p[np++]=(struct P){gpu,pid,gi,mem<0?~0ull:(U)mem<<20}; }
static void line(const char*l){
  int a,b,c,k; unsigned u,v; long long s; char name[64]; struct G*x; struct E n;
  if(!strncmp(l,"gpu ",4)){device(l);return;} if(!strncmp(l,"mig ",4)){instance(l);return;}
  if(sscanf(l,"proc %d %u %lld",&a,&u,&s)==3)process(a,NONE,u,s);
  if(sscanf(l,"migproc %u %d %u %lld",&v,&a,&u,&s)==4)process(a,v,u,s);
  if(sscanf(l,"cap %d %d %d",&a,&b,&c)==3&&(x=at(a))){x->major=b;x->minor=c;}
  if(sscanf(l,"node %d %u",&a,&u)==2&&(x=at(a)))x->node=u;
  if(sscanf(l,"migmode %d %d",&a,&b)==2&&(x=at(a)))x->migmode=b;
  if(sscanf(l,"topo %d %d %d",&a,&b,&c)==3&&at(a)&&at(b))g[a].topo[b]=g[b].topo[a]=c;
  if(sscanf(l,"nvlink %d %d %d %d",&a,&b,&c,&k)==4&&(x=at(a))&&b>=0&&b<MAXL){x->bus[b]=c;x->kind[b]=k;}
  if(sscanf(l,"health %d %d %d %d",&a,&b,&c,&k)==4&&(x=at(a))){x->remap=b;x->ecc=c;x->action=k;}
  if(ne<MAXF&&sscanf(l,"event %llu %d %llu %llu",&n.serial,&n.gpu,&n.type,&n.data)==4)e[ne++]=n;
  if(nf<MAXF&&sscanf(l,"fail %63s %d %d",name,&a,&b)==3){strcpy(f[nf].function,name);f[nf].gpu=a;f[nf++].code=b;}
  if(sscanf(l,"hang %d",&a)==1)hangall=a;
  else if(nh<MAXF&&sscanf(l,"hang %63s %d",name,&a)==2){strcpy(h[nh].function,name);h[nh++].gpu=a;}
  sscanf(l,"driver %79s",drv); sscanf(l,"init %d",&initerr); }
static void load(void){
  const char*path=getenv("FAKE_NVML_STATE"); if(!path)path="/run/fake-nvml/state"; struct stat now; char l[512]; FILE*file;
  int there=!stat(path,&now);
  if(!there||now.st_ino!=seen.st_ino||now.st_mtim.tv_sec!=seen.st_mtim.tv_sec||now.st_mtim.tv_nsec!=seen.st_mtim.tv_nsec){
    ng=nm=np=nf=nh=ne=initerr=hangall=0; memset(&seen,0,sizeof seen);
    if(there&&(file=fopen(path,"re"))){seen=now; while(fgets(l,sizeof l,file))line(l); fclose(file);} }
  while(hangall)pause(); }
static void note(const char*function,int gpu){
  static const char*known[2][MAXF]; const char*path=getenv("FAKE_NVML_CALLS"); int i=0,k=gpu>=0; if(!path)return;
  for(;i<MAXF&&known[k][i];i++)if(!strcmp(known[k][i],function))return;
  if(i<MAXF)known[k][i]=strdup(function);
  FILE*file=fopen(path,"ae"); if(file){fprintf(file,"%d %s\n",k,function);fclose(file);} }
static R fault(const char*function,int gpu){
  note(function,gpu);
  for(int i=0;i<nh;i++)while(h[i].gpu==gpu&&!strcmp(h[i].function,function))pause();
  for(int i=0;i<nf;i++)if(f[i].gpu==gpu&&!strcmp(f[i].function,function))return f[i].code;
  return OK; }
static int known(D d){return d&&((d>=g&&d<g+ng)||(d>=m&&d<m+nm));}
static R check(D d,const char*function){
  if(!known(d))return INVAL;
  R r=fault(function,d->idx); if(r)return r; return d->card>=0?g[d->card].err:d->err; }
#define ENTER pthread_mutex_lock(&mu); load(); R r_=OK; if(!refs) r_=UNINIT;
#define SYS   ENTER if(!r_) r_=fault(__func__,-1); if(!r_)
#define DEVN(name) ENTER if(!r_) r_=check(d,name); if(!r_)
#define DEV   DEVN(__func__)
#define CARD  ENTER if(!r_) r_=check(d,__func__); if(!r_&&d->card>=0) r_=NOTSUP; if(!r_)
#define LEAVE pthread_mutex_unlock(&mu); return r_;

API R nvmlInitWithFlags(unsigned n){(void)n; pthread_mutex_lock(&mu); load(); R r=initerr?initerr:fault(__func__,-1); if(!r)refs++; pthread_mutex_unlock(&mu); return r;}
API R nvmlInit_v2(void){return nvmlInitWithFlags(0);} API R nvmlInit(void){return nvmlInitWithFlags(0);}
API R nvmlShutdown(void){SYS refs--; LEAVE}
static const char*words[]={"Success","Uninitialized","Invalid Argument","Not Supported","Insufficient Permissions","Already Initialized","Not Found","Insufficient Size","Insufficient External Power","Driver Not Loaded","Timeout","Interrupt Request Issue","NVML Shared Library Not Found","Function Not Found","Corrupted infoROM","GPU is lost","GPU requires reset","The operating system has blocked the request","Driver/library version mismatch","In use by another client","Insufficient Memory","No data","ECC not supported with vGPU","Insufficient resources","Frequency not supported","Argument version mismatch","Deprecated","Not ready","GPU not found","Invalid state","Reset type not supported"};
API const char*nvmlErrorString(R r){return r>=0&&r<(int)(sizeof words/sizeof*words)?words[r]:"Unknown Error";}
API R nvmlSystemGetDriverVersion(char*s,unsigned n){SYS snprintf(s,n,"%s",drv); LEAVE}
API R nvmlSystemGetNVMLVersion(char*s,unsigned n){SYS snprintf(s,n,"13.%s",drv); LEAVE}
API R nvmlSystemGetCudaDriverVersion_v2(int*v){SYS *v=13000; LEAVE}
API R nvmlSystemGetCudaDriverVersion(int*v){return nvmlSystemGetCudaDriverVersion_v2(v);}
API R nvmlDeviceGetCount_v2(unsigned*n){SYS *n=ng; LEAVE} API R nvmlDeviceGetCount(unsigned*n){return nvmlDeviceGetCount_v2(n);}
API R nvmlDeviceGetHandleByIndex_v2(unsigned i,D*d){ENTER if(!r_){if(i>=(unsigned)ng)r_=INVAL;else if(!(r_=fault(__func__,i))){if(g[i].err==GONE)r_=GONE;else *d=&g[i];}} LEAVE}
API R nvmlDeviceGetHandleByIndex(unsigned i,D*d){return nvmlDeviceGetHandleByIndex_v2(i,d);}
API R nvmlDeviceGetHandleByUUID(const char*u,D*d){SYS {r_=NOTFOUND;for(int i=0;i<ng;i++)if(!strcmp(g[i].uuid,u)){*d=&g[i];r_=OK;}} LEAVE}
API R nvmlDeviceGetHandleByPciBusId_v2(const char*b,D*d){ENTER if(!r_){unsigned dom,bus;r_=NOTFOUND;if(sscanf(b,"%x:%x",&dom,&bus)==2&&bus>=16&&bus<16+(unsigned)ng){*d=&g[bus-16];r_=fault(__func__,bus-16);}} LEAVE}
API R nvmlDeviceGetIndex(D d,unsigned*i){DEV *i=d->idx; LEAVE}
API R nvmlDeviceGetMinorNumber(D d,unsigned*i){CARD *i=d->node; LEAVE}
API R nvmlDeviceGetName(D d,char*s,unsigned n){DEV snprintf(s,n,"%s",d->name); LEAVE}
API R nvmlDeviceGetUUID(D d,char*s,unsigned n){DEV {if(n<=strlen(d->uuid))r_=SMALL;else strcpy(s,d->uuid);} LEAVE}
API R nvmlDeviceGetSerial(D d,char*s,unsigned n){DEV snprintf(s,n,"%013d",d->idx); LEAVE}
API R nvmlDeviceGetMemoryInfo(D d,U*o){DEV {o[0]=d->total;o[1]=d->total-d->used;o[2]=d->used;} LEAVE}
struct M2{unsigned version;U total,reserved,free,used;};
API R nvmlDeviceGetMemoryInfo_v2(D d,struct M2*o){DEV {if(o->version!=(sizeof(struct M2)|2u<<24))r_=VERSION;else{U rs=d->card>=0?0:512ull<<20;o->total=d->total;o->reserved=rs;o->used=d->used;o->free=d->total-d->used-rs;}} LEAVE}
API R nvmlDeviceGetUtilizationRates(D d,unsigned*u){CARD {u[0]=d->util;u[1]=d->util/2;} LEAVE}
API R nvmlDeviceGetTemperature(D d,int k,unsigned*t){(void)k;CARD *t=d->temp; LEAVE}
API R nvmlDeviceGetPowerUsage(D d,unsigned*t){CARD *t=70000+d->util*4000; LEAVE}
API R nvmlDeviceGetEnforcedPowerLimit(D d,unsigned*t){CARD *t=500000; LEAVE}
API R nvmlDeviceGetPersistenceMode(D d,int*t){DEV *t=1; LEAVE}
API R nvmlDeviceGetComputeMode(D d,int*t){DEV *t=0; LEAVE}
API R nvmlDeviceGetCudaComputeCapability(D d,int*a,int*b){DEV {*a=d->major;*b=d->minor;} LEAVE}
struct PCI{char legacy[16];unsigned domain,bus,device,id,sub;char busId[32];};
API R nvmlDeviceGetPciInfo_v3(D d,struct PCI*q){CARD {memset(q,0,sizeof*q);q->bus=16+d->idx;q->id=0x233510de;snprintf(q->legacy,16,"0000:%02X:00.0",q->bus);snprintf(q->busId,32,"00000000:%02X:00.0",q->bus);} LEAVE}
struct PI{unsigned pid;U mem;unsigned gi,ci;};
static int uses(const struct P*q,D d){return d->card>=0?q->gpu==d->card&&q->gi==d->gi:q->gpu==d->idx;}
static R procs(D d,unsigned*n,struct PI*o,const char*function){int compute=!strstr(function,"Graphics")&&!strstr(function,"MPS"); DEVN(function) {unsigned k=0;if(compute)for(int i=0;i<np;i++)if(uses(&p[i],d))k++;
  if(*n<k){r_=SMALL;*n=k;}else{k=0;if(compute&&o)for(int i=0;i<np;i++)if(uses(&p[i],d)){o[k].pid=p[i].pid;o[k].mem=p[i].mem;o[k].gi=o[k].ci=p[i].gi;k++;}*n=k;}} LEAVE}
API R nvmlDeviceGetComputeRunningProcesses_v3(D d,unsigned*n,struct PI*o){return procs(d,n,o,__func__);}
API R nvmlDeviceGetGraphicsRunningProcesses_v3(D d,unsigned*n,struct PI*o){return procs(d,n,o,__func__);}
API R nvmlDeviceGetComputeRunningProcesses_v2(D d,unsigned*n,struct PI*o){return procs(d,n,o,__func__);}
API R nvmlDeviceGetGraphicsRunningProcesses_v2(D d,unsigned*n,struct PI*o){return procs(d,n,o,__func__);}
API R nvmlDeviceGetMPSComputeRunningProcesses_v3(D d,unsigned*n,struct PI*o){return procs(d,n,o,__func__);}
API R nvmlDeviceGetTopologyCommonAncestor(D d,D o,int*l){DEV {if(!o||o<g||o>=g+ng)r_=INVAL;else *l=d->topo[o->idx]>=0?d->topo[o->idx]:(d->idx/4==o->idx/4)?10:50;} LEAVE}
API R nvmlDeviceGetNvLinkState(D d,unsigned n,unsigned*s){DEV {if(n>=MAXL)r_=INVAL;else *s=d->bus[n]>=0;} LEAVE}
API R nvmlDeviceGetNvLinkRemotePciInfo_v2(D d,unsigned n,struct PCI*q){DEV {if(n>=MAXL||d->bus[n]<0)r_=INVAL;else{memset(q,0,sizeof*q);q->bus=d->bus[n];snprintf(q->busId,32,"00000000:%02X:00.0",q->bus);}} LEAVE}
API R nvmlDeviceGetNvLinkRemoteDeviceType(D d,unsigned n,unsigned*t){DEV {if(n>=MAXL||d->bus[n]<0)r_=INVAL;else *t=d->kind[n];} LEAVE}
API R nvmlDeviceGetCpuAffinity(D d,unsigned n,unsigned long*s){DEV {for(unsigned i=0;i<n;i++)s[i]=0;s[0]=d->idx<4?1:2;} LEAVE}

/* health */
API R nvmlDeviceGetTotalEccErrors(D d,int t,int c,U*v){(void)t;(void)c;CARD {if(d->ecc<0)r_=NOTSUP;else *v=d->ecc;} LEAVE}
API R nvmlDeviceGetRemappedRows(D d,unsigned*a,unsigned*b,unsigned*q,unsigned*x){CARD {if(d->remap<0)r_=NOTSUP;else{*a=*b=*q=0;*x=d->remap;}} LEAVE}
struct V{unsigned field,scope;long long time,late;int type;R ret;union{unsigned u;U ul;}v;};
API R nvmlDeviceGetFieldValues(D d,int n,struct V*v){CARD {for(int i=0;i<n;i++){v[i].ret=v[i].field==230&&d->action>=0?OK:NOTSUP;v[i].v.ul=0;v[i].type=1;v[i].v.u=d->action;}} LEAVE}
struct S{U types[MAXG],told;}; struct ED{D device;U type,data;unsigned gi,ci;};
API R nvmlEventSetCreate(struct S**s){SYS *s=calloc(1,sizeof**s); LEAVE}
API R nvmlEventSetFree(struct S*s){SYS free(s); LEAVE}
API R nvmlDeviceGetSupportedEventTypes(D d,U*t){CARD *t=0x1f; LEAVE}
API R nvmlDeviceRegisterEvents(D d,U t,struct S*s){CARD s->types[d->idx]|=t; LEAVE}
API R nvmlEventSetWait_v2(struct S*s,struct ED*o,unsigned ms){(void)ms; SYS {r_=TIMEOUT;for(int i=0;i<ne&&r_;i++)if(e[i].serial>s->told){s->told=e[i].serial;
  if(at(e[i].gpu)&&s->types[e[i].gpu]&e[i].type){*o=(struct ED){&g[e[i].gpu],e[i].type,e[i].data,NONE,NONE};r_=OK;}}} LEAVE}

/* MIG */
struct A{unsigned sm,copy,dec,enc,jpeg,ofa,slices,cslices;U mb;};
API R nvmlDeviceGetMigMode(D d,unsigned*c,unsigned*q){DEV {if(d->migmode<0)r_=NOTSUP;else *c=*q=d->migmode;} LEAVE}
API R nvmlDeviceGetMaxMigDeviceCount(D d,unsigned*n){CARD *n=d->migmode>0?7:0; LEAVE}
API R nvmlDeviceGetMigDeviceHandleByIndex(D d,unsigned i,D*o){CARD {r_=NOTFOUND;for(int k=0;k<nm&&r_;k++)if(m[k].card==d->idx&&!i--){*o=&m[k];r_=OK;}} LEAVE}
API R nvmlDeviceGetAttributes_v2(D d,struct A*o){DEV {memset(o,0,sizeof*o);if(d->card<0)r_=NOTSUP;else{o->slices=d->slices;o->cslices=d->cslices;o->mb=d->total>>20;}} LEAVE}
API R nvmlDeviceGetGpuInstanceId(D d,unsigned*i){DEV {if(d->card<0)r_=NOTSUP;else *i=d->gi;} LEAVE}
API R nvmlDeviceGetComputeInstanceId(D d,unsigned*i){DEV {if(d->card<0)r_=NOTSUP;else *i=0;} LEAVE}
